package mutant

// The planted bugs that the simulator cannot show, or hardly ever: it takes two
// faults in the same instant, or the simulator's world has no such thing. Each is
// found by a test of the package that it is in.
const (
	VoteNotPersisted Name = "vote-not-persisted" // a vote is told that is in no log
	StaleTailKept    Name = "stale-tail-kept"    // entries of an older term stay behind a snapshot after a restart
	ProposedTwice    Name = "proposed-twice"     // a retry of a batch in flight is proposed again
	UploadUnverified Name = "upload-unverified"  // an upload counts whose object was not read back
	ReusedReplicaID  Name = "reused-replica-id"  // two replicas get one id
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
		{ReusedReplicaID, "broker/metadata", "TestCreateTopic"},
	}
}
