// Package wal is the write-ahead log that all Raft groups of a broker share
// (design decision D2). docs/format/wal.md gives its bytes.
//
// It is a core: it decides what is written where, and the shell performs the
// writes. A Log takes records (Enqueue), builds one write at a time (Next),
// whose Do is the only I/O of the running path, and learns of its end (Done).
// Opening and recovery read and write through vfs directly. Files are opened
// direct, so all reads and writes are whole aligned blocks.
//
// Invariants:
//
//  1. At most one write is in flight, so when a write is issued everything
//     before it is durable.
//  2. A write never touches a 4 KiB block that an earlier write touched.
//  3. A record is released (returned by Done) only after its write was synced.
//  4. After a failed write or sync the log is failed for ever: nothing is
//     written, nothing is released.
//  5. A record fits: what Reserve granted can be written without allocating
//     anything on disk.
//  6. A file leaves the log only when a durable checkpoint needs nothing in it,
//     and is written to for another use only when that is durable.
//  7. The last write that recovery finds is written again in the new file
//     before anything follows it, because it alone may be in the page cache
//     without being on the disk.
//  8. A file has its name in the log only with a durable header of that sequence
//     and of a generation that no earlier use of it had. What stands in it of an
//     earlier use is neither read nor taken for a torn write or a proof.
//  9. Files of the log and spare files together take at most Settings.BytesMax,
//     and as many files more as Overdraw allows.
//
// Concurrency: a Log belongs to one goroutine at a time. Write.Do, Prepare.Do
// and Garbage.Remove may run on another one while the owner goes on.
//
// It does not know Raft, does not decide when to take a checkpoint, and does
// not compress.
package wal
