package replog

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// confirms asks whether this replica leads. The result is what it was told.
func (f *follower) confirms() *[]error {
	said := &[]error{}
	f.e.Confirm(followed, func(err error) { *said = append(*said, err) })
	f.work()
	return said
}

// beats answers heartbeats that were sent, and returns how many.
func (f *follower) beats() int {
	n := 0
	sent := f.sent
	f.sent = nil
	for _, m := range sent {
		if m.Type == raftpb.MsgHeartbeat {
			n++
			f.step(raftpb.Message{Type: raftpb.MsgHeartbeatResp, From: m.To, Term: m.Term, Context: m.Context})
		}
	}
	f.work()
	return n
}

// A leader is sure to lead when the others answered what was sent since it was
// asked, and not before; whoever asks in between waits for the next answer.
func TestConfirmAsksTheOthers(t *testing.T) {
	f := newFollower(t, nil)
	if said := f.confirms(); len(*said) != 1 || !errors.Is((*said)[0], ErrNotLeader) {
		t.Fatalf("a follower is told %v", *said)
	}
	f.leads()
	f.sent = nil
	first := f.confirms()
	second := f.confirms()
	if len(*first) != 0 || len(*second) != 0 {
		t.Fatalf("%v and %v before anybody answered", *first, *second)
	}
	if n := f.beats(); n != 2 {
		t.Fatalf("%d heartbeats to two others", n)
	}
	if len(*first) != 1 || (*first)[0] != nil || len(*second) != 0 {
		t.Fatalf("%v and %v after an answer to the first", *first, *second)
	}
	f.beats()
	if len(*second) != 1 || (*second)[0] != nil {
		t.Fatalf("%v after all answers", *second)
	}
	alone := 0
	f.e.Confirm(aloneID, func(err error) {
		if err == nil {
			alone++
		}
	})
	if alone != 1 {
		t.Fatal("a group with one voter waits")
	}
}

// A heartbeat that is lost delays the answer, and one of a newer leader ends it.
func TestConfirmOfALeaderThatWasReplaced(t *testing.T) {
	f := newFollower(t, nil)
	f.leads()
	late := f.confirms()
	f.sent = nil // lost
	for range 10 {
		f.tick()
		f.beats()
	}
	if len(*late) != 1 || (*late)[0] != nil {
		t.Fatalf("%v after later heartbeats", *late)
	}
	first := f.confirms()
	second := f.confirms()
	f.step(raftpb.Message{Type: raftpb.MsgHeartbeat, From: 1, Term: f.group().rn.BasicStatus().Term + 1})
	f.work()
	for _, said := range []*[]error{first, second, f.confirms()} {
		if len(*said) != 1 || !errors.Is((*said)[0], ErrNotLeader) {
			t.Fatalf("a leader that was replaced is told %v", *said)
		}
	}
}
