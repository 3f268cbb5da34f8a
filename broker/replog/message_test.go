package replog

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

func testMessages() []Message {
	snap := &raftpb.Snapshot{Data: []byte("state"), Metadata: raftpb.SnapshotMetadata{Index: 9, Term: 2, ConfState: raftpb.ConfState{Voters: []uint64{1, 2}}}}
	return []Message{
		{Group: 7, raft: raftpb.Message{Type: raftpb.MsgApp, From: 1, To: 2, Term: 3, LogTerm: 2, Index: 4, Commit: 4,
			Entries: []raftpb.Entry{{Index: 5, Term: 3}, {Index: 6, Term: 3, Data: []byte("data")}}}},
		{Group: 7, raft: raftpb.Message{Type: raftpb.MsgAppResp, From: 2, To: 1, Term: 3, Index: 6}},
		{Group: 1, raft: raftpb.Message{Type: raftpb.MsgSnap, From: 1, To: 2, Term: 3, Snapshot: snap}},
		{Group: 1, raft: raftpb.Message{Type: raftpb.MsgPreVote, From: 2, To: 1, Term: 4, LogTerm: 3, Index: 6}},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	for _, m := range testMessages() {
		b, err := m.Append([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseMessage(b[1:])
		if err != nil {
			t.Fatalf("%v: %v", m.raft.Type, err)
		}
		again, err := got.Append(nil)
		if err != nil || !bytes.Equal(again, b[1:]) || got.Group != m.Group || got.From() != m.From() || got.To() != m.To() {
			t.Errorf("%v: %v became %v (%v)", m.raft.Type, m, got, err)
		}
	}
}

// TestMessageRefused: what only Raft says to itself, and what would make it
// panic, is not taken from another broker.
func TestMessageRefused(t *testing.T) {
	change := func(f func(*raftpb.Message)) Message {
		m := testMessages()[0]
		f(&m.raft)
		return m
	}
	for name, m := range map[string]Message{
		"proposal":         change(func(m *raftpb.Message) { m.Type = raftpb.MsgProp }),
		"campaign":         change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.MsgHup, nil }),
		"storage append":   change(func(m *raftpb.Message) { m.Type = raftpb.MsgStorageAppend }),
		"storage response": change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.MsgStorageAppendResp, nil }),
		"snapshot status":  change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.MsgSnapStatus, nil }),
		"forget leader":    change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.MsgForgetLeader, nil }),
		"nobody":           change(func(m *raftpb.Message) { m.From = 0 }),
		"itself":           change(func(m *raftpb.Message) { m.From = m.To }),
		"responses":        change(func(m *raftpb.Message) { m.Responses = []raftpb.Message{{Type: raftpb.MsgAppResp}} }),
		"no snapshot":      change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.MsgSnap, nil }),
		"stray entries":    change(func(m *raftpb.Message) { m.Type = raftpb.MsgHeartbeat }),
		"gap":              change(func(m *raftpb.Message) { m.Entries[1].Index++ }),
		"no term":          change(func(m *raftpb.Message) { m.Entries[0].Term = 0 }),
		"configuration":    change(func(m *raftpb.Message) { m.Entries[0].Type = raftpb.EntryConfChange }),
	} {
		b, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMessage(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMessage: what is taken is written the same way again, and never has what
// is refused.
func FuzzMessage(f *testing.F) {
	for _, m := range testMessages() {
		b, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		again, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := ParseMessage(again)
		if err != nil {
			t.Fatalf("refused what it wrote: %v", err)
		}
		third, err := m2.Append(nil)
		if err != nil || !bytes.Equal(third, again) {
			t.Fatalf("written in two ways: %x and %x", again, third)
		}
	})
}

func TestStoreShrinksAndResets(t *testing.T) {
	var ents []raftpb.Entry
	for i := range uint64(10) {
		ents = append(ents, raftpb.Entry{Index: i + 1, Term: 1 + i/5, Data: make([]byte, 10)})
	}
	s := &store{}
	s.append(ents)
	s.append(ents[7:]) // known already
	if s.bytes != 100 {
		t.Fatalf("%d bytes", s.bytes)
	}
	s.shrink(9, 55)
	if s.dropped != 5 || s.droppedTerm != 1 || s.bytes != 50 {
		t.Errorf("shrunk to %d (term %d), %d bytes", s.dropped, s.droppedTerm, s.bytes)
	}
	s.shrink(7, 0)
	if s.dropped != 7 || s.droppedTerm != 2 || s.bytes != 30 {
		t.Errorf("shrunk beyond what is applied: %d, %d bytes", s.dropped, s.bytes)
	}
	s.append([]raftpb.Entry{{Index: 9, Term: 3, Data: make([]byte, 4)}}) // in the place of two
	if last, _ := s.LastIndex(); last != 9 || s.bytes != 14 {
		t.Errorf("ends at %d with %d bytes", last, s.bytes)
	}
	s.reset(20, 4)
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if term, err := s.Term(20); first != 21 || last != 20 || s.bytes != 0 || term != 4 || err != nil {
		t.Errorf("after a reset from %d to %d, %d bytes, term %d %v", first, last, s.bytes, term, err)
	}
}
