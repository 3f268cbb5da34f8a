// Package remote reads the batches of segments that are in the object store:
// chunks of their objects, a cache of chunks on disk, read-ahead, lookups by
// offset and by time.
//
// Invariants (D, L, R and S as in the architecture page):
//
//  1. A read gives the bytes that were committed, as a read of the local log
//     would (S5): every block of a chunk that was downloaded is compared with
//     its checksum in the object's tail, and the tail with the manifest (L2,
//     L8), before a byte of it is returned and before the chunk goes to the
//     cache, which has a checksum of its own for it. So what a batch's checksum
//     leaves out, base offset and leader epoch, is covered too. What differs is
//     fetched once more, past the cache, and is an error if it still differs;
//     of the chunk only the blocks that differ are refused. A batch's place is
//     compared with the tail's index each time, its own checksum where it is
//     put together from several chunks or decoded.
//  2. What the list of segments names and the store does not have is an error,
//     never emptiness (S4); so is a store that does not answer. Only an offset
//     outside the list is ErrOutside.
//  3. Readers of one chunk share one download. One that began goes on when its
//     readers left, and fills the cache if the tail is there to verify it with;
//     a chunk that came before the tail is kept when somebody uses it. A
//     download that waits for its turn does not begin when nobody waits for it.
//  4. The cache holds what can be lost (D11). Nothing that happens to its files,
//     its index or its disk fails a read; it is logged once.
//  5. Memory is bounded (R1): chunks by Options.MemoryBytes, tails by
//     Options.TailBytes and as much again for those being loaded, what is known
//     of readers and of damage by a number. What a Read returns is a copy of as
//     much as was asked for, and the caller's. No length that was read is
//     allocated before it was compared with the verified index.
//  6. A read holds no chunk while it waits for another, so that readers that
//     wait for memory cannot wait for each other.
//  7. Read-ahead takes only memory and downloads that nobody waits for, and half
//     of the memory at most.
//
// Concurrency: all exported types may be used by any goroutine. A flight, the
// goroutine that brings one chunk, starts with the first reader or ahead of it,
// takes memory, looks into the cache, takes one of Options.Downloads slots,
// downloads, verifies, publishes, and writes the cache. If the tail is not there
// the first reader that has it verifies, and a goroutine writes. A tail has a flight that waits for
// those of its chunks. Flights that wait are as many as reads that wait. Badger
// runs its own goroutines while the index is open. Close cancels flights and
// waits for them. No mutex is held across I/O; the first use of a disk cache is
// done once, while others that need it wait.
//
// Chunks that a disk cache keeps are not synced. Files of chunks go through
// internal/vfs; the index is Badger's, which opens its directory by path and
// maps files that have holes, so that a full disk could end the process: the
// cache writes to the index only while DiskOptions.ReserveBytes are free.
//
// The package uploads and deletes nothing, knows no topic, watermark or
// transaction, and does not decide who may use how much of the store.
package remote
