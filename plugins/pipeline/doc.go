// Package pipeline runs a topic's chain over one batch: records in, verdicts
// out, and from these the batch that is stored, the emissions that leave, or a
// refusal.
//
// Invariants:
//
//  1. Every record of the batch is exactly one of kept, replaced, dropped,
//     dead-lettered and rejected (W3), and the counts of an Output add up to the
//     batch's. A rejected record rejects the whole batch, and no emission of it
//     leaves.
//  2. A batch of which every record is kept is returned as the bytes that came.
//     Of a rebuilt one the offset deltas, base sequence, producer and transaction
//     are the client's, and it ends at its last kept record. It is never empty.
//  3. What a record does not get replaced comes from the client's bytes, never
//     from a guest.
//  4. Output, apart from elapsed times, is a function of the Input and of what
//     the guests answer (W2).
//  5. No answer of a guest panics, or takes more memory than
//     Options.MaxMemoryBytes and the bytes of one call (W4, R1).
//  6. What a sensitive stage replaced leaves in no dead letter of a later stage:
//     a dead letter carries the record as the client sent it, or as the last
//     sensitive stage that replaced something left it.
//  7. An error, as opposed to a refusal, says nothing about the records: the
//     batch may be run again.
//
// Concurrency: a Chain is immutable and may run any number of batches at once,
// if its guests may be called so. Run blocks while guests run. The package
// starts no goroutine.
//
// It does not choose plugins, keep breakers, store or deliver anything, and does
// not check what Validate of package record has checked.
package pipeline
