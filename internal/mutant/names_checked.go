package mutant

// Planted bugs that show that a checker of the simulator can fail which no other
// planted bug troubles.
const (
	WrongOffsetTold    Name = "wrong-offset-told"    // a producer is told the offset before its batch
	ChecksumUnchecked  Name = "checksum-unchecked"   // what is read from a local segment is not compared with its checksum
	TimeIndexOff       Name = "time-index-off"       // the time index is asked for a later time
	OffsetToldAhead    Name = "offset-told-ahead"    // a coordinator answers one offset too far
	MixedGenerations   Name = "mixed-generations"    // a batch runs through the chain of the moment, and is stored as of an older one
	ChainsSideBySide   Name = "chains-side-by-side"  // batches of a partition run at once, and one of an older generation than the log's is stored
	ChainToldNow       Name = "chain-told-now"       // a chain is told a time that is not in the entry
	BatchRewritten     Name = "batch-rewritten"      // a batch of a topic without a chain gets another timestamp
	ColdReadLate       Name = "cold-read-late"       // a read of the cold tier begins at the indexed batch behind
	WatcherKept        Name = "watcher-kept"         // a long poll that is over stays registered
	DirectoryKept      Name = "directory-kept"       // the directory of a deleted partition stays
	DroppedUnanswered  Name = "dropped-unanswered"   // a proposal that Raft dropped is never answered
	NoSpaceForGood     Name = "no-space-for-good"    // a full disk is told as an error that is not to be retried
	ChainLoadedOnce    Name = "chain-loaded-once"    // a chain that could not be loaded is not tried again
	FrameReused        Name = "frame-reused"         // a frame is changed after it was sent
	RepairLosesMore    Name = "repair-loses-more"    // a repair drops one entry more than it says
	RepairNamesLess    Name = "repair-names-less"    // a repair drops a batch that it could mend, and does not say so
	TieredCountedTwice Name = "tiered-counted-twice" // retention by size counts twice what is in the cold tier
	RetentionByLocal   Name = "retention-by-local"   // retention deletes by the limit of the local log
	ReusedReplicaID    Name = "reused-replica-id"    // two replicas get one id
	ReusedGroupID      Name = "reused-group-id"      // the ids of a deleted topic's groups and replicas are given again
)

func checked() []Name {
	return []Name{
		WrongOffsetTold, ChecksumUnchecked, TimeIndexOff, OffsetToldAhead, MixedGenerations, ChainsSideBySide, ChainToldNow, BatchRewritten,
		ColdReadLate, WatcherKept, DirectoryKept, DroppedUnanswered, NoSpaceForGood, ChainLoadedOnce, FrameReused, RepairLosesMore, RepairNamesLess,
		TieredCountedTwice, RetentionByLocal, ReusedReplicaID, ReusedGroupID,
	}
}
