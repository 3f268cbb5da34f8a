// Package sweep finds the objects of the cold tier that nothing needs any more,
// and empties the prefix of a deleted topic.
//
// Invariants (S as in the architecture page):
//
//  1. An object is an orphan only if its key is that of a segment, it is older
//     than the grace, and a manifest that is known to be current does not name
//     it, or its topic was deleted. The manifest is asked after the object was
//     seen in the listing, so that a commit in between is noticed (S3).
//  2. What cannot be explained is reported and never deleted (S3).
//  3. A listing that is stale or incomplete leaves orphans to a later sweep, and
//     makes none (S4). However stale a listing is, deleting a topic ends: it sees
//     every key once.
//  4. One call holds at most one page of a listing and the report, which is
//     bounded by a limit (R1).
//
// Concurrency: every function runs in the caller's goroutine and blocks on the
// store; several may run at once.
//
// The package decides neither when to sweep nor how long the grace is, and
// Orphans deletes nothing.
package sweep
