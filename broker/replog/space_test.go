package replog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/vfs"
)

// small has files of 64 KiB and a disk whose reserve is begun when so much is free.
func small(capacity int64) func(*Config) {
	return func(c *Config) {
		c.FS = vfs.NewMem(vfs.MemOptions{Capacity: capacity})
		c.WAL.FirstFileBytes, c.WAL.FileBytes, c.WAL.BytesMax, c.WAL.ReserveBytes = 64<<10, 64<<10, 256<<10, 16<<10
	}
}

// A proposal that leaves too little behind it, as long as the current file of the
// write-ahead log is nearly full, goes on although nothing else is written: the
// log moves on to its next file, so that another one is made.
func TestProposalMovesTheLogOn(t *testing.T) {
	f := newFollower(t, small(0))
	propose := func(n int) {
		t.Helper()
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("x", n)), nil, false); err != nil {
			t.Fatal(err)
		}
		f.work()
	}
	for f.e.wal.Left(0) > 72<<10 {
		propose(3000) // a block
	}
	f.e.Checkpoint()
	f.work()
	before := len(f.alone.applied)
	f.e.wal.SetReserve(40 << 10) // as if states had grown
	propose(20 << 10)
	if len(f.alone.applied) != before {
		t.Fatal("the proposal did not have to wait")
	}
	for range 5 {
		f.tick()
	}
	if len(f.alone.applied) != before+1 || len(f.alone.dropped) > 0 {
		t.Fatalf("%d of 1 applied, %d dropped: %+v", len(f.alone.applied)-before, len(f.alone.dropped), f.e.Stats())
	}
}

// ballast takes all of the disk but for so many bytes.
func (f *follower) ballast(left int64) {
	f.t.Helper()
	fs := f.e.c.FS
	_ = fs.Remove("ballast") // there may be none
	free, err := fs.Free()
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := fs.Create("ballast")
	if err == nil {
		err = errors.Join(file.Preallocate(free-left), file.Close())
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.tick()
}

// A follower takes what its leader sent before that knew of the full disk, and
// leaves the rest of the reserve to what is written of it.
func TestFollowerLeavesRoomOnDisk(t *testing.T) {
	f := newFollower(t, func(c *Config) {
		small(8 << 20)(c)
		c.DiskReserve = 1 << 20
	})
	last := func() uint64 {
		f.work()
		n, _ := f.group().store.LastIndex()
		return n
	}
	f.ballast(900 << 10)
	if !f.e.short {
		t.Fatal("it does not tell its leader")
	}
	f.append(1, 1, 0, 0, 0, entries(0, 1, 1, 6000))
	if last() != 1 {
		t.Fatal("above a quarter of the reserve an entry is refused")
	}
	f.ballast(250 << 10)
	f.append(1, 1, 1, 1, 0, entries(1, 1, 1, 6000))
	if last() != 1 {
		t.Fatal("below a quarter of the reserve an entry is taken")
	}
	f.append(1, 1, 1, 1, 0, entries(1, 1, 1, 60))
	if last() != 2 {
		t.Fatal("one that may free space is refused")
	}
	if f.e.TakeDisk(1) {
		t.Fatal("a copy of another replica's files may take the reserve")
	}
	f.ballast(2 << 20)
	if f.e.short || !f.e.TakeDisk(1<<20) || f.e.TakeDisk(1<<20) {
		t.Fatal("with room there is none, or what was taken is taken again")
	}
	f.append(1, 1, 2, 1, 0, entries(2, 1, 1, 6000))
	if last() != 3 {
		t.Fatal("an entry is refused when there is room again")
	}
}

// says has another replica say how its disk is.
func (f *follower) says(from uint64, short bool) {
	f.tells(short, raftpb.Message{Type: raftpb.MsgHeartbeatResp, From: from})
}

// tells has another replica send a message, and how its disk is.
func (f *follower) tells(short bool, r raftpb.Message) {
	r.To, r.Term = 2, f.group().logged.Term
	m := Message{Group: followed, short: short, raft: r}
	b, err := m.Append(nil)
	if err == nil {
		m, err = ParseMessage(b)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.e.Step(m)
	f.work()
}

// A leader refuses clients while most replicas have no room on their disks: an
// entry that they do not take would hold up all behind it, and with them what
// frees space. What is the system's goes on.
func TestLeaderAsksWhetherFollowersHaveRoom(t *testing.T) {
	f := newFollower(t, nil)
	f.leads()
	propose := func(system bool) error { return f.e.Propose(followed, []byte("x"), nil, system) }
	f.says(1, true)
	if err := propose(false); err != nil {
		t.Fatalf("one of three has no room: %v", err)
	}
	f.says(3, true)
	if err := propose(false); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("two of three have no room: %v", err)
	}
	if err := propose(true); err != nil {
		t.Fatalf("the system's: %v", err)
	}
	if err := f.e.Propose(aloneID, []byte("x"), nil, false); err != nil {
		t.Fatalf("another group: %v", err)
	}
	f.says(1, false)
	if err := propose(false); err != nil {
		t.Fatalf("one has room again: %v", err)
	}
}

// A replica that has no room for what it is sent gets the leader's state after a
// while, which says what was deleted: in the log that stands behind the rest.
func TestReplicaWithoutRoomGetsASnapshot(t *testing.T) {
	f := newFollower(t, nil)
	f.leads()
	snapshots := 0
	turn := func() {
		sent := f.sent
		f.sent = nil
		for _, m := range sent {
			switch {
			case m.Type == raftpb.MsgSnap && m.To == 1:
				snapshots++
			case m.Type == raftpb.MsgApp && m.To == 3: // replica 1 takes nothing
				f.answer(m)
			}
		}
		f.work()
	}
	if err := f.e.Propose(followed, []byte("x"), nil, false); err != nil {
		t.Fatal(err)
	}
	for i := range 4 * stuckTicks {
		if i == 2*stuckTicks && snapshots > 0 {
			t.Fatal("a replica that is only slow gets a snapshot")
		}
		// It lost what it was sent, and says so.
		f.says(1, i >= 2*stuckTicks)
		f.tells(i >= 2*stuckTicks, raftpb.Message{Type: raftpb.MsgAppResp, From: 1, Index: f.group().applied, Reject: true, RejectHint: 1, LogTerm: 1})
		f.tick()
		turn()
	}
	if snapshots == 0 {
		t.Fatal("it gets none")
	}
	// Until it has that it backs nothing, whatever room it says it has.
	f.says(1, false)
	f.says(3, true)
	if err := f.e.Propose(followed, []byte("y"), nil, false); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("one has no room, and one no log: %v", err)
	}
	f.says(3, false)
	if err := f.e.Propose(followed, []byte("y"), nil, false); err != nil {
		t.Fatalf("one has room again: %v", err)
	}
}

// A term is begun, or a vote given, only if there is room for it in the
// write-ahead log, which must not be full of what nobody reserved. All that was
// reserved for it is given back.
func TestTermsTakeRoomInTheLog(t *testing.T) {
	f := newFollower(t, nil)
	room := func() (n int64) {
		for f.e.wal.Reserve(wal.Block, true) {
			n += wal.Block
		}
		f.e.wal.Unreserve(n)
		return n
	}
	vote := func(term uint64) uint64 {
		f.step(raftpb.Message{Type: raftpb.MsgVote, From: 1, Term: term, Index: 0, LogTerm: 0})
		f.work()
		return f.group().logged.Term
	}
	before := room()
	if got := vote(3); got != 3 {
		t.Fatalf("term %d", got)
	}
	if after := room(); before-after != wal.Block || f.group().credit != 0 {
		t.Fatalf("a vote took %d bytes, and %d are kept", before-after, f.group().credit)
	}
	held := room()
	for taken := int64(0); taken < held; taken += wal.Block {
		f.e.wal.Reserve(wal.Block, true)
	}
	if got := vote(9); got != 3 {
		t.Fatalf("term %d in a full log", got)
	}
	if f.e.Poll(f.now); !f.e.refused {
		t.Fatal("nobody asks for a checkpoint")
	}
	f.e.wal.Unreserve(held)
	if got := vote(9); got != 9 {
		t.Fatalf("term %d", got)
	}
	f.leads()
	if f.group().credit != 0 {
		t.Fatalf("a leader keeps %d bytes", f.group().credit)
	}
}

// Sizes of the write-ahead log with which nothing could go on are refused.
func TestSizesOfTheLog(t *testing.T) {
	for name, set := range map[string]func(*wal.Settings){
		"one file":              func(s *wal.Settings) { s.BytesMax = s.FileBytes },
		"nearly two files":      func(s *wal.Settings) { s.BytesMax = 2*s.FileBytes - 1 },
		"small files":           func(s *wal.Settings) { s.FileBytes = 60 << 10 },
		"a small first file":    func(s *wal.Settings) { s.FirstFileBytes = 60 << 10 },
		"files of half a block": func(s *wal.Settings) { s.FileBytes += wal.Block / 2 },
		"a small reserve":       func(s *wal.Settings) { s.ReserveBytes = 3 * wal.Block },
		"a large reserve":       func(s *wal.Settings) { s.ReserveBytes = s.FileBytes/4 + wal.Block },
	} {
		c := DefaultConfig(vfs.NewMem(vfs.MemOptions{}))
		small(0)(&c)
		c.WAL.BytesMax, c.WAL.Entropy = 128<<10, func() uint64 { return 7 }
		if e, _, err := Open(c, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		} else {
			e.Close()
		}
		set(&c.WAL)
		if _, _, err := Open(c, time.Unix(0, 0)); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What waits for space when its group is destroyed is told so, and not that there
// is damage.
func TestDestroyedWhileWaitingForSpace(t *testing.T) {
	f := newFollower(t, func(c *Config) {
		small(8 << 20)(c)
		c.DiskReserve = 1 << 20
	})
	f.ballast(500 << 10)
	if err := f.e.Propose(aloneID, []byte("x"), nil, false); err != nil || f.e.Stats().Waiting == 0 {
		t.Fatalf("it does not wait: %v", err)
	}
	f.e.Destroy(aloneID)
	if len(f.alone.dropped) != 1 || !errors.Is(f.alone.dropped[0], ErrUnknownGroup) {
		t.Fatalf("told %v", f.alone.dropped)
	}
}

// Entries that a replica has need no room: the leader that sends them again has
// not heard that they are here, and commits nothing until it does.
func TestEntriesThatAreHereNeedNoRoom(t *testing.T) {
	f := newFollower(t, nil)
	ents := entries(0, 1, 3, 3000)
	f.append(1, 1, 0, 0, 0, ents)
	f.work()
	for f.e.wal.Reserve(wal.Block, true) {
	}
	f.sent = nil
	f.append(1, 1, 0, 0, 0, ents)
	f.work()
	if len(f.sent) != 1 || f.sent[0].Type != raftpb.MsgAppResp || f.sent[0].Reject || f.sent[0].Index != 3 {
		t.Fatalf("answered %+v", f.sent)
	}
	f.sent = nil
	f.append(1, 1, 0, 0, 0, append(ents, entries(3, 1, 1, 3000)...))
	f.work()
	if last, _ := f.group().store.LastIndex(); last != 3 || len(f.sent) != 0 {
		t.Fatalf("a new one without room: the log ends at %d, answered %+v", last, f.sent)
	}
}

// A log of two files goes on beside a group that has no quorum: its entries, many
// and small, are copied forward together, and a checkpoint that is made for that
// counts on it.
func TestLogOfTwoFilesBesideAGroupWithoutQuorum(t *testing.T) {
	f := newFollower(t, func(c *Config) {
		small(0)(c)
		c.WAL.BytesMax = 2 * c.WAL.FileBytes
	})
	for i := range uint64(12) {
		behind := uint64(1)
		if i == 0 {
			behind = 0
		}
		f.append(1, 1, i, behind, 0, entries(i, 1, 1, 250))
		f.work()
	}
	for i := range 500 {
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("y", 2000)), nil, false); err != nil {
			t.Fatalf("proposal %d: %v", i, err)
		}
		for range 4 {
			f.work()
			f.tick()
		}
		if s := f.e.Stats(); s.Waiting > 0 {
			t.Fatalf("proposal %d waits for space: %+v", i, s)
		}
	}
	if last, _ := f.group().store.LastIndex(); last != 12 {
		t.Fatalf("the log ends at %d", last)
	}
}
