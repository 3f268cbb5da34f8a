package replog

import (
	"math/rand/v2"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// voter is an engine with one replica of a group of three, whose other replicas
// are the test.
type voter struct {
	t    *testing.T
	fs   *vfs.Mem
	e    *Engine
	now  time.Time
	sent []raftpb.Message
}

func (v *voter) open() {
	v.t.Helper()
	if err := v.fs.MkdirAll("toy"); err != nil {
		v.t.Fatal(err)
	}
	c := DefaultConfig(v.fs)
	c.WAL = wal.DefaultSettings()
	c.WAL.FirstFileBytes, c.WAL.FileBytes, c.WAL.BytesMax, c.WAL.ReserveBytes = 256<<10, 256<<10, 1<<20, 32<<10
	c.WAL.Entropy = func() uint64 { return 7 }
	c.Send = func(m Message) { v.sent = append(v.sent, m.raft) }
	var err error
	if v.e, _, err = Open(c, v.now); err != nil {
		v.t.Fatal(err)
	}
	spec := Spec{ID: 5, Replica: 2, Voters: []ident.ReplicaID{1, 2, 3}}
	if err := v.e.Start(spec, func(state []byte) (Machine, error) { return openToy(newOracle(), v.fs, "toy/m", state) }); err != nil {
		v.t.Fatal(err)
	}
	v.work()
}

// work performs everything that there is to do.
func (v *voter) work() {
	v.t.Helper()
	for tasks := v.e.Poll(v.now); len(tasks) > 0; tasks = v.e.Poll(v.now) {
		for _, task := range tasks {
			_ = task.Do()
			v.e.Done(v.now, task)
		}
	}
	if err := v.e.Err(); err != nil {
		v.t.Fatal(err)
	}
}

// asks has another replica ask for the vote and returns whether it was given.
func (v *voter) asks(from, term uint64) bool {
	v.t.Helper()
	v.sent = nil
	v.e.Step(Message{Group: 5, raft: raftpb.Message{Type: raftpb.MsgVote, From: from, To: 2, Term: term}})
	v.work()
	for _, m := range v.sent {
		if m.Type == raftpb.MsgVoteResp && m.To == from && m.Term == term {
			return !m.Reject
		}
	}
	v.t.Fatalf("no answer to replica %d in term %d: %v", from, term, v.sent)
	return false
}

// TestVoteSurvivesPowerLoss: a vote that was told is never given to another
// candidate of that term.
func TestVoteSurvivesPowerLoss(t *testing.T) {
	v := &voter{t: t, fs: vfs.NewMem(vfs.MemOptions{}), now: time.Unix(1000, 0)}
	v.open()
	if !v.asks(1, 7) {
		t.Fatal("the first candidate got no vote")
	}
	v.fs = v.fs.Crash(rand.New(rand.NewPCG(1, 2)), vfs.CrashOptions{})
	v.open()
	if v.asks(3, 7) {
		t.Fatal("two candidates got the vote of one term")
	}
	if !v.asks(1, 7) {
		t.Fatal("who had the vote does not have it any more")
	}
	v.e.Checkpoint()
	v.work()
	v.fs = v.fs.Crash(rand.New(rand.NewPCG(1, 2)), vfs.CrashOptions{})
	v.open()
	if v.asks(3, 7) {
		t.Fatal("two candidates got the vote of one term over a checkpoint")
	}
	if !v.asks(3, 8) {
		t.Fatal("no vote in a later term")
	}
	v.e.Close()
}

// TestVoteIsToldWhenDurable: no answer leaves before the sync.
func TestVoteIsToldWhenDurable(t *testing.T) {
	v := &voter{t: t, fs: vfs.NewMem(vfs.MemOptions{}), now: time.Unix(1000, 0)}
	v.open()
	v.sent = nil
	v.e.Step(Message{Group: 5, raft: raftpb.Message{Type: raftpb.MsgVote, From: 1, To: 2, Term: 7}})
	tasks := v.e.Poll(v.now)
	for _, task := range tasks {
		_ = task.Do()
	}
	if len(v.sent) != 0 {
		t.Fatalf("told before the sync was known: %v", v.sent)
	}
	for _, task := range tasks {
		v.e.Done(v.now, task)
	}
	v.work()
	if len(v.sent) != 1 || v.sent[0].Reject {
		t.Fatalf("after the sync: %v", v.sent)
	}
	v.e.Close()
}
