// Package storage is one partition's applied log on local disk: segment files
// of record batches, a sparse index beside each, a cache of the tail, recovery
// from a checkpointed Position, lookups by offset and by time, and the planning
// of retention.
//
// Invariants:
//
//  1. A segment file holds the batches as consumers get them, back to back, in
//     offset order, with base offset and leader epoch in place. Offsets may have
//     holes between batches. (L2, L8)
//  2. What is appended can be read at once and for as long as it is not below
//     the start: from the tail until it is written, from then on from the tail
//     or the file. Unwritten bytes never leave the tail. (L1)
//  3. A batch read from a file is served only if its checksum is right. Damage
//     is an error that names file, position and offset; it never shortens the
//     log. (L8)
//  4. Where segments roll, and which batches the index names, depends only on
//     the sequence of calls that change the log and on Settings.
//  5. The Position of a finished Sync is durable: Open with it gives the log as
//     it was when the Mark was taken, whatever was written or lost after.
//  6. Log start, local start and log end never go back. (L7)
//  7. A file is unlinked only by Garbage.Remove, and never while a run or a sync
//     uses it. Segments that Open finds behind its Position go at once, because
//     their content is applied again.
//  8. A log without batches has no directory, no file and no buffer.
//  9. The tail of all logs together is bounded by Limits.TailBytes plus what is
//     not yet written; open files, indexes in memory and spare buffers by their
//     own limits. No length read from disk is allocated before it is compared
//     with the size of the file. (R1)
//
// Concurrency: a Log has one owner, the worker that applies. Every method that
// changes it, and NextRun, RunDone, Mark, Reached, PlanSync, SyncDone and
// TakeGarbage, belong to the owner. Read, OffsetForTimestamp, MaxTimestamp and
// the accessors Start, LocalStart, End, Size, Sealed and Active may be called
// from any goroutine. DoRun, Sync.Do (or Write and Flush) and Garbage.Remove do
// I/O, touch nothing of the owner's, and may run on any goroutine between plan
// and done. The mutex guards the list of segments and the tail and is never held
// across I/O. A Cache is shared by all logs and safe for concurrent use.
//
// The package starts nothing, knows no clock, decides no policy (the owner
// calls PlanRetention and applies the result as an entry), keeps no producer or
// transaction state, and does not compact.
package storage
