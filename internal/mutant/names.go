package mutant

// Name is one planted bug.
type Name string

// The planted bugs. Each is found by the simulator, and `make mutants` fails
// if one is not.
const (
	ReplyBeforeSync       Name = "reply-before-sync"        // an append is acknowledged when it is written, not when it is synced
	CheckpointBeforeSync  Name = "checkpoint-before-sync"   // a checkpoint is recorded before the segments it describes are synced
	CommitFromHardState   Name = "commit-from-hard-state"   // commit after a restart ignores the checkpoint
	TornAsCorrupt         Name = "torn-taken-for-corrupt"   // any bad write is corruption
	CorruptAsTorn         Name = "corrupt-taken-for-torn"   // any bad write is the tail
	SharedSyncEarly       Name = "shared-sync-early"        // a sync of the file system counts for what was written while it ran
	UnlinkEarly           Name = "unlink-before-checkpoint" // files go before the checkpoint that lets them go is durable
	RetentionNeedsSpace   Name = "retention-needs-space"    // retention's entry does not use the system reserve
	NoDeduplication       Name = "no-deduplication"         // a retried batch is appended again
	SettingsReadAtApply   Name = "settings-read-at-apply"   // segment size is read from the configuration, not from the log
	EvictUnfound          Name = "evict-unfound"            // local retention trusts the manifest without looking for the objects
	EvictUncopied         Name = "evict-uncopied"           // the local log start passes what the cold tier holds
	CommitOutOfOrder      Name = "commit-out-of-order"      // a segment is added to the manifest that is not the next
	CommitFailedUpload    Name = "commit-failed-upload"     // a segment is added to the manifest whose upload failed
	DiscardWithoutGrace   Name = "discard-without-grace"    // an object is deleted as soon as no manifest names it
	DiscardNamed          Name = "discard-named"            // an object is deleted after its commit was accepted
	DiscardUnknown        Name = "discard-unknown"          // an object is deleted whose commit may yet be applied
	DropKeepsLogStart     Name = "drop-keeps-log-start"     // the log goes on to begin in a cold tier that was given up
	SnapshotBeforeDurable Name = "snapshot-before-durable"  // a snapshot is acknowledged before a checkpoint holds it
	ForgetUndeleted       Name = "forget-undeleted"         // a tombstone, or a deleted topic, is forgotten although its objects were not deleted
	BlocksTrusted         Name = "blocks-trusted"           // what is read from the object store is not compared with its checksums
	ColdBelowStart        Name = "cold-below-start"         // the cold tier is read below the log start
)

// All lists every planted bug.
func All() []Name {
	return append([]Name{
		ReplyBeforeSync, CheckpointBeforeSync, CommitFromHardState, TornAsCorrupt,
		CorruptAsTorn, SharedSyncEarly, UnlinkEarly, RetentionNeedsSpace, NoDeduplication, SettingsReadAtApply,
		EvictUnfound, EvictUncopied, CommitOutOfOrder, CommitFailedUpload, DiscardWithoutGrace, DiscardNamed, DiscardUnknown, DropKeepsLogStart, ForgetUndeleted, BlocksTrusted, ColdBelowStart, SnapshotBeforeDurable,
	}, append(state(), checked()...)...)
}
