// Package partition is one replica's state machine: the sequencer that takes
// produced batches, the deterministic apply that gives them offsets, producer
// state, leader epochs, watermarks, reads and waiters (design decisions D2a and
// D5). docs/format/entry.md describes the entries that it applies.
//
// It is a core: a Partition is a replog.Machine, proposes through a Proposer,
// and leaves every write to tasks.
//
// Invariants:
//
//	P1 Apply reads only the entry and the replica's own state: the same entries
//	   give the same segments, indexes and producer state everywhere.
//	P2 A batch is answered after it is applied, that is durable and readable.
//	P3 A batch that was refused before it was proposed leaves a mark: until that
//	   sequence, or a newer epoch, arrives, later sequences of its producer are
//	   refused and not proposed (L5, L6).
//	P4 A duplicate of an applied batch is answered with its offset, a duplicate
//	   of one in flight waits for it, and neither is proposed (L4).
//	P5 Log start, high watermark and chain generation never go back (L7, W7).
//	P6 Files are unlinked only after a durable checkpoint at or past the entry
//	   that allowed it.
//	P7 Before it leads, that is before an entry of its own term is applied, a
//	   replica answers nothing but ErrNotLeader.
//	P8 Batches of a topic with a chain run through it one at a time, in arrival
//	   order, each through one generation (W6), and what a chain emits is applied
//	   with what it stores, or neither is.
//	P9 A partition's emissions stand in the outbox until they are delivered, and
//	   a target appends each position of an origin at most once.
//	P10 A local segment leaves the disk only when the manifest names it, and the
//	   manifest names only what was uploaded and verified, without a gap (S1,
//	   S4). An object leaves the store only when the manifest does not name it
//	   (S3).
//
// Concurrency: one goroutine owns a Partition and calls every method but those
// of view.go (Read, offsets, lookups, Watch), which any goroutine may call. Close
// does not wait for reads: the last one to end gives up the log's memory.
// Callbacks run on the owner, or for Watch on whoever makes the event; they must
// not block.
package partition
