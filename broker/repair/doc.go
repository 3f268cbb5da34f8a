// Package repair makes a damaged data directory usable again, without a broker:
// Inspect finds out what is damaged and what would be lost, Repair gives that up
// and keeps everything else. docs/repair.md is the guide for operators.
//
// The write-ahead log is written anew as one file: a checkpoint of all groups,
// and of each the entries behind it that follow one another without a gap. What
// was applied and is in the files of a partition is taken from there. Segments
// that are damaged are written anew without the damaged batches: a hole.
//
// Invariants:
//
//  1. Inspect changes nothing.
//  2. What Repair changes lies in the quarantine before, as it was, and is never
//     removed from there. With it lies the report.
//  3. A crash during Repair leaves a directory that a broker refuses or parks as
//     it did before, or one that is repaired in part or whole. Inspect and Repair
//     go on from there.
//  4. A group without damage of its own loses nothing. Of one that lost entries
//     nothing behind the first lost one is applied.
//  5. A group that may have lost something goes on at a term that it never had:
//     no (partition, offset, leader epoch) gets a second value (L2).
//  6. What the Report does not name as lost is there after Repair.
//  7. A single wrong bit in a record, or in a batch, that a checksum covers costs
//     nothing, but for records of more than 1 MiB or with a sector of zeros.
//
// Concurrency: the directory belongs to the caller, who holds its lock; one call
// at a time.
//
// It does not restore the directory's identity, metadata of which no checkpoint
// is left, or anything in the cold tier.
package repair
