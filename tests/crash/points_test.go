package crash

import "github.com/varvelog/varve/internal/failpoint"

// Places at which a broker can die, by what must happen for them to be reached.
var (
	// Anything is produced for long enough that files are rolled and checkpoints
	// made.
	logPoints = []failpoint.Name{
		"wal.create.after", "wal.allocate.after", "wal.syncdir.before", "wal.syncdir.after",
		"wal.write.before", "wal.write.torn", "wal.write.after", "wal.sync.before", "wal.sync.after",
		"wal.remove.before", "wal.remove.after",
		"segment.create.after", "segment.write.before", "segment.write.torn", "segment.write.after",
		"segment.truncate.before", "segment.truncate.after",
		"index.create.after", "index.write.before", "index.write.torn", "index.write.after",
		"all.syncall.before", "all.syncall.after",
		failpoint.CommitDone, failpoint.CommitReplied, failpoint.CheckpointDone, failpoint.SegmentDone,
		failpoint.SyncDone, failpoint.PrepareDone,
	}
	// Anything is produced.
	commitPoints = []failpoint.Name{
		"wal.write.before", "wal.write.torn", "wal.sync.before", "wal.sync.after", failpoint.CommitDone, failpoint.CommitReplied,
	}
	// Records are dead-lettered.
	letterPoints = []failpoint.Name{failpoint.LettersBuilt, failpoint.OutboxLanded}
	// Segments go to the cold tier and leave the disk.
	tierPoints = []failpoint.Name{
		"segment.remove.before", "segment.remove.after", "index.remove.before", "index.remove.after",
		failpoint.TierUploaded, failpoint.TierPutWrite, failpoint.TierPutSync, failpoint.TierPutName, failpoint.TierPutDir,
	}
	// Somebody reads the cold tier.
	coldPoints = []failpoint.Name{"chunk.create.after", "chunk.write.before", "chunk.write.torn", "chunk.write.after"}
	// A group commits.
	groupPoints = []failpoint.Name{failpoint.GroupLanded, failpoint.GroupAnswered}
	// Topics come and go.
	topicPoints = []failpoint.Name{
		"partition.mkdir.before", "partition.mkdir.after", "mark.create.before", "mark.create.after",
		"mark.syncdir.before", "mark.syncdir.after", "partition.remove.before", "partition.remove.after",
		"mark.remove.before", "mark.remove.after", failpoint.TierDelete, failpoint.TierDiscarded,
	}
	// A broker starts and finds that indexes are missing.
	rebuildPoints = []failpoint.Name{
		"index.create.before", "index.create.after", "index.write.before", "index.write.torn", "index.write.after",
		"index.rename.before", "index.rename.after",
	}
	// A repair gives up a part of the log and writes segments again.
	repairPoints = []failpoint.Name{
		"quarantine.mkdir.before", "quarantine.mkdir.after", "quarantine.create.before", "quarantine.create.after",
		"quarantine.write.before", "quarantine.write.torn", "quarantine.write.after", "quarantine.sync.before", "quarantine.sync.after",
		"quarantine.rename.before", "quarantine.rename.after", "quarantine.syncdir.before", "quarantine.syncdir.after",
		"segment.create.before", "segment.create.after", "segment.write.before", "segment.write.torn", "segment.write.after",
		"segment.sync.before", "segment.sync.after", "segment.rename.before", "segment.rename.after",
		"segment.syncdir.before", "segment.syncdir.after", "index.remove.before", "index.remove.after",
		"wal.create.before", "wal.create.after", "wal.allocate.before", "wal.allocate.after",
		"wal.write.before", "wal.write.torn", "wal.write.after", "wal.sync.before", "wal.sync.after",
		"wal.rename.before", "wal.rename.after", "wal.syncdir.before", "wal.syncdir.after",
		failpoint.RepairKept, failpoint.RepairSegments, failpoint.RepairPrepared, failpoint.RepairCounts,
	}
	// A broker starts in an empty directory.
	firstPoints = []failpoint.Name{
		"meta.create.after", "meta.write.before", "meta.write.torn", "meta.write.after", "meta.sync.before", "meta.sync.after",
		"meta.rename.before", "meta.rename.after", "meta.syncdir.before", "meta.syncdir.after",
		"wal.mkdir.before", "wal.mkdir.after", "wal.create.before", "wal.create.after", "wal.allocate.before", "wal.allocate.after",
		"wal.write.before", "wal.write.torn", "wal.write.after", "wal.sync.before", "wal.sync.after",
		"wal.syncdir.before", "wal.syncdir.after",
	}
)
