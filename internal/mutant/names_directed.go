package mutant

// The planted bugs that the simulator cannot show, or hardly ever: it takes two
// faults in the same instant, or the simulator's world has no such thing. Each is
// found by a test of the package that it is in.
const (
	VoteNotPersisted Name = "vote-not-persisted" // a vote is told that is in no log
	StaleTailKept    Name = "stale-tail-kept"    // entries of an older term stay behind a snapshot after a restart
	ProposedTwice    Name = "proposed-twice"     // a retry of a batch in flight is proposed again
	UploadUnverified Name = "upload-unverified"  // an upload counts whose object was not read back
	EpochsTrusted    Name = "epochs-trusted"     // leader epochs in segment files are not compared with the partition's
	OffsetsTrusted   Name = "offsets-trusted"    // base offsets in segment files are not compared with the index
	OldImageJudges   Name = "old-image-judges"   // a broker whose metadata lags takes an origin that was forgotten for a new one
	LeadsForEver     Name = "leads-for-ever"     // a leader tells its state without asking whether it was replaced
	TargetMoves      Name = "target-moves"       // letters go to another partition when their topic gets more
)

// Directed is a planted bug with the test that finds it.
type Directed struct {
	Name          Name
	Package, Test string
}

// AllDirected lists them.
func AllDirected() []Directed {
	return []Directed{
		{VoteNotPersisted, "broker/replog", "TestVoteSurvivesPowerLoss"},
		{StaleTailKept, "broker/replog", "TestStaleTailBehindSnapshot"},
		{ProposedTwice, "broker/partition", "TestRetryInFlight"},
		{UploadUnverified, "tiering/offload", "TestS1TamperedObjectsAreNotCommitted"},
		{EpochsTrusted, "broker/partition", "TestWrongEpochIsDamage"},
		{OffsetsTrusted, "broker/storage", "TestPlacementFlipsAreFound"},
		{OldImageJudges, "broker/partition", "TestOldMetadataJudgesNoOrigins"},
		{LeadsForEver, "broker/replog", "TestConfirmAsksTheOthers"},
		{TargetMoves, "broker/node", "TestLettersOnceWhenTheirTopicGrows"},
	}
}
