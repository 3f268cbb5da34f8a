// Package segfile is the format of a segment object of the cold tier: header,
// record batches, tail (docs/format/segment-object.md). It builds objects from
// local segments, reads tails, and checks whole objects.
//
// Invariants (L, R and S as in the architecture page):
//
//  1. The data of an object is the segment's bytes, and Build fails on the first
//     batch whose length, checksum or offsets are wrong: what is damaged is never
//     copied (L8).
//  2. A tail is accepted only if it is, byte for byte, the one that the manifest
//     committed, and says so itself.
//  3. Build holds one buffer, the tail and 4 bytes per part and per block, whatever
//     the size of the segment or of its batches. What is read is compared with
//     the bytes that are there before anything is allocated for it; ParseTail
//     allocates nothing in proportion to its input (R1).
//  4. Every byte before the tail lies in a block whose checksum is in the tail,
//     so that a piece of an object can be verified without the rest of it.
//  5. Floor and SinceTimestamp never name a position behind the batch that is
//     looked for (L9).
//
// Concurrency: Build and Verify run in the caller's goroutine and block on its
// readers. An Object may be read from several goroutines if its source's Data
// may. A Tail does not change; any goroutine may use it.
//
// The package knows no object store and no key, decompresses nothing, and does
// not look inside producer state.
package segfile
