// Package deadletter turns emissions into dead letters, the records that stand
// in dead-letter topics, and encodes emissions as entries and outboxes carry
// them (docs/format/emission.md).
//
// Invariants:
//
//  1. A dead letter says where its record failed first, and that is never
//     overwritten: one that fails again keeps the headers of its first origin
//     and gets those of the latest failure beside them.
//  2. The headers that a record came with keep their order and duplicates. Only
//     headers of this family's names are ever taken away.
//  3. DecodeEmission accepts exactly what AppendEmission writes, allocates in
//     proportion to its input and never panics.
//
// Concurrency: all functions are safe to call from any goroutine.
//
// The package delivers nothing, chooses no partition and knows no outbox.
package deadletter
