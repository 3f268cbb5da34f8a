// Package objstore reads and writes whole, immutable objects in an object store:
// S3 and what speaks like it (s3://), a directory (file://) and memory (mem://).
// It is the only importer of gocloud.dev and of the AWS SDK, and nothing of them
// shows in its interface.
//
// Invariants (A, R and S as in the architecture page):
//
//  1. A Put that returned nil is durable in the store and readable by every
//     later GetRange, Head and List. A Put that failed left the old object, the
//     new one whole, or nothing: never a part (S1).
//  2. Of several conditional puts of one key at most one returns nil. The answer
//     that got lost is found out by reading back, so a put is not reported as a
//     conflict with itself (S2).
//  3. An object that is missing, or too short, is an error, never fewer bytes
//     (S4). GetRange fills the whole buffer or fails.
//  4. No key leaves the bucket's prefix or the directory (A2): keys are checked
//     before any use, and directories are entered through os.Root.
//  5. Errors are classified once, here: every error matches one of the package's
//     sentinels or context.Canceled, and holds no credentials.
//  6. Memory is bounded (R1): no object is held in memory whole, except in
//     mem://; parts are streamed from the caller's ReaderAt, a page of a listing
//     has at most ListMax objects.
//
// Concurrency: a Store may be used by any goroutine. Put to S3 runs at most two
// goroutines per large object and has ended them when it returns. The drivers
// keep no goroutine of their own beyond net/http's connections. Close waits for
// nobody; calls after it fail with ErrClosed.
//
// It does not name objects, verify their content, cache, or decide when to try
// again after the bounded retries of one call: that is the caller's, with
// Retriable.
package objstore
