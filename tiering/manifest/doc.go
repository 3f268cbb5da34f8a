// Package manifest is the list of the segments that a partition has in the cold
// tier: what counts (D8 in the design). The list is applied state: it changes
// only by entries of the partition's log, so that every replica and every restart
// has the same one.
//
// Invariants:
//
//  1. The segments of a list follow each other without a gap: each begins at the
//     offset at which the one before ends (S4).
//  2. A list never changes once it was handed out; Append and Trim make another.
//     Lists share memory, so making one costs no copy of the whole.
//  3. A segment names its object for ever: the key follows from the cluster, the
//     partition and the segment, and no two uploads have the same (S2, A2).
//
// Concurrency: a List may be read by any goroutine. Append must be called on the
// newest list only, by one owner.
//
// The package does no I/O and knows no object format.
package manifest
