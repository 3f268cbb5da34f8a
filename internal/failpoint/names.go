package failpoint

// Name is a place where the process can die.
type Name string

// Places in code that no operation on the disk marks.
const (
	CommitDone     Name = "commit.done"     // entries are synced, nobody is told yet
	CommitReplied  Name = "commit.replied"  // they are applied and answers are on their way
	CheckpointDone Name = "checkpoint.done" // a write of the log is synced while a checkpoint is being made
	SegmentDone    Name = "segment.done"    // a run is written, the partition does not know
	SyncDone       Name = "sync.done"       // files are synced or removed, their group does not know
	PrepareDone    Name = "prepare.done"    // a file of the log is made or removed, the log does not know
	TierUploaded   Name = "tier.uploaded"   // an object is in the store and verified, not committed
	TierDiscarded  Name = "tier.discarded"  // objects are deleted, their tombstones are there
	LettersBuilt   Name = "letters.built"   // dead letters are made, not delivered
	OutboxLanded   Name = "outbox.landed"   // dead letters are delivered, the outbox is not trimmed
	GroupLanded    Name = "group.landed"    // records of a group are durable, nobody is told yet
	GroupAnswered  Name = "group.answered"  // those who waited for them are told
	TierPutWrite   Name = "tier.put.write"  // a part of an object's file is written
	TierPutSync    Name = "tier.put.sync"   // all of it is, and is not synced
	TierPutName    Name = "tier.put.name"   // it is synced and has no name
	TierPutDir     Name = "tier.put.dir"    // it has a name that is not synced
	TierDelete     Name = "tier.delete"     // an object is about to be deleted
	RepairKept     Name = "repair.kept"     // a repair has put copies of what is damaged aside
	RepairSegments Name = "repair.segments" // it has written damaged segments again
	RepairPrepared Name = "repair.prepared" // it has written a new log, which does not count yet
	RepairCounts   Name = "repair.counts"   // the new log counts, the old one is still there
)

// Code lists the places above.
func Code() []Name {
	return []Name{
		CommitDone, CommitReplied, CheckpointDone, SegmentDone, SyncDone, PrepareDone, TierUploaded, TierDiscarded,
		LettersBuilt, OutboxLanded, GroupLanded, GroupAnswered, TierPutWrite, TierPutSync, TierPutName, TierPutDir, TierDelete,
		RepairKept, RepairSegments, RepairPrepared, RepairCounts,
	}
}

// Classes of what lies in a data directory, the first part of the name of a
// place on the disk. The second is the operation: create, write, sync, truncate,
// allocate, rename, remove, mkdir, syncdir, syncall. The third is before or
// after, and torn for a write of which a part is done.
const (
	classWAL        = "wal"        // files of the write-ahead log, and their directory
	classSegment    = "segment"    // segment files, and their directory
	classIndex      = "index"      // their indexes
	classPartition  = "partition"  // directories of partitions
	classMark       = "mark"       // marks of deleted partitions, and the directory of all
	classMeta       = "meta"       // meta.properties, and the data directory
	classChunk      = "chunk"      // the cold tier's cache
	classQuarantine = "quarantine" // what a repair put aside
	classAll        = "all"        // the whole file system
	classOther      = "other"
)
