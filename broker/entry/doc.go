// Package entry frames what a Raft entry carries: a kind, the leader's clock, a
// header that the kind defines and a payload, under one CRC
// (docs/format/entry.md). It decides nothing and keeps nothing.
//
// Parse returns slices of its argument; the bytes of an entry never change
// after Build, so they may be shared by Raft, the write-ahead log, the tail
// cache and readers.
package entry
