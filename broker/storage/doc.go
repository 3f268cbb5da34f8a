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
//  3. A batch read from a file is served only if its checksum is right, its base
//     offset is the one that the index says, and its leader epoch the one that the
//     owner knows (SetEpochs): no checksum covers those two. Damage is an error
//     that names file, position and offset; it never shortens the log. (L2, L8)
//  4. Where segments roll, and which batches the index names, depends only on
//     the sequence of calls that change the log and on Settings. It names every
//     batch behind a hole.
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
//  10. A write to a segment is whole blocks of 4 KiB, and what it repeats of a
//     block has the value that it had. No byte that a Position covers is ever
//     written with another value.
//
// Direct writes. Segments are written through handles that go past the page
// cache, where the file system has that (vfs.FS.OpenDirect). A run is copied, with
// base offsets and leader epochs in place, into a buffer that is aligned in
// memory; it begins at a multiple of 4 KiB and is padded with zeros to one. So the
// file of an open segment is longer than the segment, by less than a block. The
// length that counts is the one in Position, footer and SegmentInfo; nothing here
// or above asks the file, but Open, to see that it is not shorter. When a segment
// is closed and all of it is written, its file is cut to its length, in the same
// step that writes the footer, before the Position that calls it closed. Where
// there is no direct I/O the same blocks are written through the page cache.
//
// The next run behind a padded block writes that block again (from memory, or
// from the file if the memory was needed), although a Position may cover its
// first bytes. That takes nothing from it: the drive writes sectors of 512 bytes
// or more, each of which is afterwards the old one or the new one, whatever is
// torn, lost or reordered, and old and new agree in every byte that was written
// before. As the write is a whole 4 KiB block at its multiple, no drive with
// larger sectors has to read and merge one either. What lies behind the Position
// may be anything after a crash: Open forgets it and it is applied again from
// the write-ahead log, so that the prefix of the block is always right and the
// rest is always written before a later Position covers it.
//
// Reads use a buffered handle: what was written lately is in the tail, and
// catching up gains from read-ahead. The kernel drops the cached pages of a range
// before and after a direct write to it. A reader that comes in between may
// cache a block as it was; it looks only at bytes that were written before its
// read began, which are the same in both, and the page goes when the write ends.
// Nothing is ever written through the buffered handle; cutting is done through
// it, when no run is left to come.
//
// Space is not allocated ahead of the runs: with runs of 1 MiB that gains nothing
// measurable on ext4, neither in bytes per second nor in the sync behind them.
// Indexes are small and written through the page cache.
//
// Durability. A Sync writes what is missing, indexes and the cuts, and then makes
// it durable: file by file (Flush), or, for a caller that has many logs to sync,
// by one sync of the whole file system that begins when Write has returned.
//
// Memory of runs. A run names the batches that it writes; they are copied into a
// buffer, of up to RunBytes, only while DoRun writes it. So there are as many
// buffers as goroutines call DoRun at once, and Limits.RunBuffers spare ones;
// CacheStats counts all of them.
//
// Concurrency: a Log has one owner, the worker that applies. Every method that
// changes it, and NextRun, RunDone, Mark, Reached, PlanSync, SyncDone,
// TakeGarbage and Garbage.Busy, belong to the owner. Read, OffsetForTimestamp,
// MaxTimestamp and the accessors Start, LocalStart, End, Size, Sealed and Active
// may be called from any goroutine. DoRun, Sync.Do (or Write and Flush) and Garbage.Remove do
// I/O, touch nothing of the owner's, and may run on any goroutine between plan
// and done. The mutex guards the list of segments and the tail and is never held
// across I/O. A Cache is shared by all logs and safe for concurrent use.
//
// The package starts nothing, knows no clock, decides no policy (the owner
// calls PlanRetention and applies the result as an entry), keeps no producer or
// transaction state, and does not compact.
package storage
