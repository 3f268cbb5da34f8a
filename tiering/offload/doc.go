// Package offload brings one sealed segment into the object store: build, put,
// verify. What it returns may be committed to the manifest.
//
// Invariants (L and S as in the architecture page):
//
//  1. Upload returns a Segment only after the store answered for it: the object
//     has the right length, its tail was read back byte for byte, and its data
//     is right, either by a checksum that the store itself keeps and that agrees
//     with the one counted while the segment was read, or by reading all of it
//     back (S1).
//  2. An outcome that is not known is found out by reading back, all of the
//     object, before anything is said (S2).
//  3. An object is deleted by Upload only if this very call created it and
//     returns no Segment for it, so that nobody can have committed it. In any
//     doubt it stays, as an orphan (S3).
//  4. A segment with a damaged batch is not uploaded (L8), nor one that the
//     source's Check refuses: a wrong base offset or leader epoch would stay wrong.
//
// Concurrency: Upload runs in the caller's goroutine, and blocks; different
// jobs may run at once and share Options, Stats and Rate. Stats and Rate are
// safe for any goroutine.
//
// The package decides neither what to upload nor when to try again, commits
// nothing, and starts no goroutine.
package offload
