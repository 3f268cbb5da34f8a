package mutant

// Planted bugs in what is applied: partitions, their segments, and groups.
const (
	ClockAtApply       Name = "clock-at-apply"       // segments are rolled by the clock at which an entry is applied
	MarksIgnored       Name = "marks-ignored"        // a batch goes on behind one of its producer that was refused
	RefusedLetter      Name = "refused-letter"       // the dead letters of a refused batch leave
	GenerationBack     Name = "generation-back"      // a batch is proposed with the generation of a chain that is not the topic's any more
	ProducersForgotten Name = "producers-forgotten"  // a checkpoint's producers are not restored
	LettersTwice       Name = "letters-twice"        // a delivery from another partition is stored as often as it comes
	TrimUndelivered    Name = "trim-undelivered"     // the outbox is trimmed when its letters are sent, not when they are stored
	LeadEarly          Name = "lead-early"           // a leader serves before it has applied an entry of its own term
	AckBeforeSync      Name = "ack-before-sync"      // a follower acknowledges entries before they are synced
	LogRemovedEarly    Name = "log-removed-early"    // log files go that hold entries which are not applied in a checkpoint
	BlockRewritten     Name = "block-rewritten"      // a write begins in the block that the one before it ends in
	OffsetsReused      Name = "offsets-reused"       // a log goes on at the start of its last segment after a restart
	RetentionTooMuch   Name = "retention-too-much"   // retention by size takes the segment that holds the border
	NamesUnsynced      Name = "names-unsynced"       // the directory of new segments is not synced
	TailAsSent         Name = "tail-as-sent"         // the tail cache serves a batch without its offset and epoch
	FencedCommit       Name = "fenced-commit"        // a commit of an older generation counts
	FencedInstance     Name = "fenced-instance"      // a static member that was replaced is heard
	AssignedEarly      Name = "assigned-early"       // members are told an assignment that is not committed
	JoinWithoutEnd     Name = "join-without-end"     // a rebalance waits for members for ever
	GroupsNotReplayed  Name = "groups-not-replayed"  // a coordinator serves without having read the log
	OldTopicOffsets    Name = "old-topic-offsets"    // a new topic begins with the offsets of an old one of its name
	CommitBeforeAppend Name = "commit-before-append" // an offset's commit is answered when it is proposed
	OffsetRewound      Name = "offset-rewound"       // replay keeps the oldest of an offset's commits, not the newest
	UnknownTopicGone   Name = "unknown-topic-gone"   // offsets of a topic that this broker does not know yet are taken for a deleted topic's
	TrimBeforeSnapshot Name = "trim-before-snapshot" // a group log is cut before all of its snapshot is in it
)

func state() []Name {
	return []Name{
		ClockAtApply, MarksIgnored, RefusedLetter, GenerationBack, ProducersForgotten, LettersTwice, TrimUndelivered, LeadEarly, AckBeforeSync,
		LogRemovedEarly, BlockRewritten, OffsetsReused, RetentionTooMuch, NamesUnsynced, TailAsSent,
		FencedCommit, FencedInstance, AssignedEarly, JoinWithoutEnd, GroupsNotReplayed, OldTopicOffsets, CommitBeforeAppend,
		OffsetRewound, UnknownTopicGone, TrimBeforeSnapshot,
	}
}
