package replog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// plain is a machine without files, which takes the states of others over.
type plain struct {
	applied                    []string
	dropped                    []error
	adopts, abandons, switches int
	follows                    int
	here                       bool // what Adopt fetches
	fail                       error
	failSwitch                 error
	parked                     error
}

func (m *plain) Apply(e Entry) error {
	m.applied = append(m.applied, string(e.Data))
	return nil
}
func (m *plain) Dropped(_ any, err error)            { m.dropped = append(m.dropped, err) }
func (m *plain) Lead(uint64)                         {}
func (m *plain) Unlead()                             {}
func (m *plain) Parked(err error)                    { m.parked = err }
func (m *plain) Capture()                            {}
func (m *plain) Flushed() (done, stale bool)         { return true, false }
func (m *plain) State() []byte                       { return []byte("state") }
func (m *plain) Work(bool) Task                      { return nil }
func (m *plain) Worked(Task, error) error            { return nil }
func (m *plain) Retry()                              {}
func (m *plain) Durable()                            {}
func (m *plain) Close()                              {}
func (m *plain) Follow()                             { m.follows++ }
func (m *plain) Snapshot() ([]byte, error)           { return []byte("state"), nil }
func (m *plain) Adopt(ident.ReplicaID, []byte) error { m.adopts++; return m.fail }
func (m *plain) Adopted() (bool, error)              { return m.here, nil }
func (m *plain) Abandon()                            { m.abandons++ }
func (m *plain) Switch() (Machine, error)            { m.switches++; return m, m.failSwitch }

// follower is an engine with replica 2 of a group of three, whose other replicas
// are the test, and another group that is alone.
type follower struct {
	t     *testing.T
	e     *Engine
	m     *plain // of the group of three
	alone *plain
	now   time.Time
	sent  []raftpb.Message
}

const followed, aloneID = ident.GroupID(5), ident.GroupID(6)

func newFollower(t *testing.T, set func(*Config)) *follower {
	t.Helper()
	f := &follower{t: t, m: &plain{}, alone: &plain{}, now: time.Unix(1000, 0)}
	c := DefaultConfig(vfs.NewMem(vfs.MemOptions{}))
	c.WAL.FirstFileBytes, c.WAL.FileBytes, c.WAL.BytesMax, c.WAL.ReserveBytes = 256<<10, 256<<10, 1<<20, 32<<10
	c.WAL.Entropy = func() uint64 { return 7 }
	c.DiskReserve = 0
	c.Send = func(m Message) { f.sent = append(f.sent, m.raft) }
	if set != nil {
		set(&c)
	}
	var err error
	if f.e, _, err = Open(c, f.now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.e.Close)
	for id, m := range map[ident.GroupID]*plain{followed: f.m, aloneID: f.alone} {
		spec := Spec{ID: id, Replica: 2, Voters: []ident.ReplicaID{1, 2, 3}}
		if id == aloneID {
			spec.Voters = []ident.ReplicaID{2}
		}
		if err := f.e.Start(spec, func([]byte) (Machine, error) { return m, nil }); err != nil {
			t.Fatal(err)
		}
	}
	f.work()
	return f
}

func (f *follower) group() *group { return f.e.groups[followed] }

// work performs everything that there is to do.
func (f *follower) work() {
	f.t.Helper()
	for tasks := f.e.Poll(f.now); len(tasks) > 0; tasks = f.e.Poll(f.now) {
		f.perform(tasks)
	}
	if err := f.e.Err(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) perform(tasks []Task) {
	for _, task := range tasks {
		_ = task.Do()
		f.e.Done(f.now, task)
	}
}

func (f *follower) tick() {
	f.now = f.now.Add(100 * time.Millisecond)
	f.e.Tick(f.now)
	f.work()
}

func (f *follower) step(m raftpb.Message) {
	m.To = 2
	f.e.Step(Message{Group: followed, raft: m})
}

// entries are so many of a term, behind an index, of so many bytes each.
func entries(behind, term uint64, count, size int) []raftpb.Entry {
	out := make([]raftpb.Entry, count)
	for i := range out {
		out[i] = raftpb.Entry{Index: behind + 1 + uint64(i), Term: term, Data: []byte(strings.Repeat("x", size))}
	}
	return out
}

// append sends entries as a leader does.
func (f *follower) append(from, term, behind, behindTerm, commit uint64, ents []raftpb.Entry) {
	f.step(raftpb.Message{Type: raftpb.MsgApp, From: from, Term: term, Index: behind, LogTerm: behindTerm, Commit: commit, Entries: ents})
}

// offer sends a snapshot.
func (f *follower) offer(from, term, index uint64) {
	f.step(raftpb.Message{Type: raftpb.MsgSnap, From: from, Term: term, Snapshot: &raftpb.Snapshot{Data: []byte("state"), Metadata: raftpb.SnapshotMetadata{
		Index: index, Term: term, ConfState: raftpb.ConfState{Voters: []uint64{1, 2, 3}},
	}}})
}

// A copy of another replica's files ends when the group parks, when a newer state
// cannot be adopted, and when the state cannot be taken over: nothing else would
// ever end it.
func TestCopyEndsWithItsReason(t *testing.T) {
	t.Run("parked", func(t *testing.T) {
		f := newFollower(t, nil)
		f.offer(1, 3, 10)
		if f.work(); f.m.adopts != 1 || f.m.abandons != 0 {
			t.Fatalf("adopts %d, abandons %d", f.m.adopts, f.m.abandons)
		}
		f.group().park(errors.New("damage"))
		if f.work(); f.m.abandons != 1 || len(f.e.adopting) != 0 {
			t.Fatalf("abandoned %d times", f.m.abandons)
		}
	})
	t.Run("a newer state fails", func(t *testing.T) {
		f := newFollower(t, nil)
		f.offer(1, 3, 10)
		f.m.fail = errors.New("no")
		f.offer(1, 3, 20)
		if f.work(); f.m.adopts != 2 || f.m.abandons != 1 || f.group().adopting != nil || len(f.e.adopting) != 0 {
			t.Fatalf("adopts %d, abandons %d", f.m.adopts, f.m.abandons)
		}
		f.m.fail, f.m.here = nil, true
		f.offer(1, 3, 30)
		if f.work(); f.m.switches != 1 || f.group().applied != 30 {
			t.Fatalf("taken over %d times, applied %d", f.m.switches, f.group().applied)
		}
	})
	t.Run("it cannot be taken over", func(t *testing.T) {
		f := newFollower(t, nil)
		f.m.here, f.m.failSwitch = true, errors.New("no")
		f.offer(1, 3, 10)
		if f.work(); f.m.parked == nil || f.m.abandons != 1 {
			t.Fatalf("parked %v, abandoned %d times", f.m.parked, f.m.abandons)
		}
	})
}

// What is on its way into the log when a state is taken over is no part of the log
// behind it, and nothing is taken until that state is durable.
func TestNothingIsAppendedWhileAStateIsStored(t *testing.T) {
	f := newFollower(t, nil)
	f.append(1, 1, 0, 0, 0, entries(0, 1, 20, 10))
	flight := f.e.Poll(f.now) // of another leader's, never committed
	f.m.here = true
	f.offer(3, 2, 10)
	f.perform(flight)
	tasks := f.e.Poll(f.now)
	g := f.group()
	if !g.storing() || f.m.switches != 1 {
		t.Fatalf("taken over %d times", f.m.switches)
	}
	f.append(3, 2, 10, 2, 10, entries(10, 2, 3, 10))
	if tasks = append(tasks, f.e.Poll(f.now)...); len(g.stored.held) != 1 || g.credit != 0 {
		t.Fatalf("%d appends are held", len(g.stored.held))
	}
	f.perform(tasks)
	f.work()
	if last, _ := g.store.LastIndex(); g.storing() || last != 10 || g.applied != 10 {
		t.Fatalf("the log ends at %d, applied %d", last, g.applied)
	}
	f.append(3, 2, 10, 2, 13, entries(10, 2, 3, 10))
	if f.work(); len(f.m.applied) != 3 {
		t.Fatalf("applied %q", f.m.applied)
	}
}

// What was on its way when a state is taken over ends after that, too.
func TestAppendInFlightBehindAState(t *testing.T) {
	f := newFollower(t, nil)
	f.append(1, 1, 0, 0, 0, entries(0, 1, 20, 10))
	flight := f.e.Poll(f.now)
	if len(f.group().flight) != 1 {
		t.Fatalf("%d appends in flight", len(f.group().flight))
	}
	f.m.here = true
	f.offer(3, 2, 10)
	tasks := f.e.Poll(f.now)
	g := f.group()
	if !g.storing() {
		t.Fatal("not taken over")
	}
	f.perform(flight)
	if last, _ := g.store.LastIndex(); last != 10 {
		t.Fatalf("the log ends at %d behind a state at 10", last)
	}
	f.perform(tasks)
	f.work()
	if last, _ := g.store.LastIndex(); g.storing() || last != 10 {
		t.Fatalf("the log ends at %d", last)
	}
}

// A heartbeat of a leader that knows nothing of this replica yet does not say what
// is committed.
func TestFirstHeartbeatTellsNothing(t *testing.T) {
	f := newFollower(t, nil)
	f.step(raftpb.Message{Type: raftpb.MsgHeartbeat, From: 1, Term: 2})
	if f.work(); f.m.follows != 0 {
		t.Fatal("it follows, and has heard of nothing")
	}
	f.append(1, 2, 0, 0, 2, entries(0, 2, 1, 10))
	if f.work(); f.m.follows != 0 {
		t.Fatal("it follows, and lacks what is committed")
	}
	f.append(1, 2, 1, 2, 2, entries(1, 2, 1, 10))
	if f.work(); f.m.follows != 1 || len(f.m.applied) != 2 {
		t.Fatalf("follows %d times, applied %d", f.m.follows, len(f.m.applied))
	}
}

// Entries that a newer leader replaced hold nothing of the write-ahead log.
func TestReplacedEntriesHoldNothing(t *testing.T) {
	f := newFollower(t, nil)
	for i := range uint64(3) {
		f.append(1, 1, 4*i, min(i, 1), 0, entries(4*i, 1, 4, 3000))
		f.work()
	}
	g := f.group()
	if len(g.where) != 3 {
		t.Fatalf("entries at %v", g.where)
	}
	before, second := g.low(0), g.where[1].position
	at := f.e.wal.Tail()
	f.append(3, 2, 5, 1, 0, entries(5, 2, 1, 10)) // in the middle of the second record
	f.work()
	if g.low(0) != before || g.low(4) != second || g.low(5) != at {
		t.Fatalf("entries above 0, 4 and 5 from %d, %d and %d on; the records began at %d, %d and %d", g.low(0), g.low(4), g.low(5), before, second, at)
	}
	at = f.e.wal.Tail()
	f.append(1, 3, 0, 0, 0, entries(0, 3, 1, 10)) // all of it
	f.work()
	if g.low(0) != at {
		t.Fatalf("entries from %d on, the record began at %d", g.low(0), at)
	}
}

// What several small entries of another replica bring goes into records of the
// size that one's own proposals have: only for that is there room at the end of a
// file.
func TestFollowersRecordsAreBounded(t *testing.T) {
	f := newFollower(t, nil)
	before := f.e.Stats().CommitRecords
	f.append(1, 1, 0, 0, 0, entries(0, 1, 10, 10<<10)) // 16 KiB in a record
	f.work()
	if got := f.e.Stats().CommitRecords - before; got != 10 {
		t.Fatalf("%d records", got)
	}
}

// A follower that has no room for entries asks for a checkpoint, as who proposes
// does: nothing else would free its log.
func TestFollowerWithoutRoomAsksForACheckpoint(t *testing.T) {
	f := newFollower(t, nil)
	var held int64
	for f.e.wal.Reserve(wal.Block, true) {
		held += wal.Block
	}
	f.append(1, 1, 0, 0, 0, entries(0, 1, 2, 3000))
	if f.e.Poll(f.now); !f.e.refused {
		t.Fatal("nobody is told")
	}
	if last, _ := f.group().store.LastIndex(); last != 0 {
		t.Fatal("it was taken")
	}
	f.e.wal.Unreserve(held)
	f.append(1, 1, 0, 0, 0, entries(0, 1, 2, 3000))
	f.work()
	if last, _ := f.group().store.LastIndex(); last != 2 {
		t.Fatal("it is not taken with room")
	}
}

// A follower that has no room for what a message brings hears that what it has is
// committed: else that would hold its log for ever, and there would never be room.
// What is no news is not answered, since the leader would send it again at once.
func TestFollowerWithoutRoomHearsWhatIsCommitted(t *testing.T) {
	f := newFollower(t, nil)
	f.append(1, 1, 0, 0, 0, entries(0, 1, 2, 3000))
	f.work()
	for f.e.wal.Reserve(wal.Block, true) {
		continue
	}
	answer := func(what string, reject bool, index, hint uint64) {
		t.Helper()
		f.work()
		if len(f.sent) != 1 || f.sent[0].Type != raftpb.MsgAppResp || f.sent[0].Reject != reject || f.sent[0].Index != index || f.sent[0].RejectHint != hint {
			t.Fatalf("%s is answered with %v", what, f.sent)
		}
		f.sent = nil
	}
	f.sent = nil
	f.append(1, 1, 7, 1, 4, entries(7, 1, 1, 3000))
	answer("what lies behind an entry that is not here", true, 7, 2)
	if len(f.m.applied) != 0 {
		t.Fatal("it commits")
	}
	f.append(1, 1, 0, 0, 4, entries(0, 1, 4, 3000))
	answer("the news", false, 2, 0)
	for range 3 {
		f.append(1, 1, 2, 1, 4, entries(2, 1, 2, 3000))
		f.work()
	}
	if last, _ := f.group().store.LastIndex(); last != 2 || len(f.m.applied) != 2 || len(f.sent) != 0 {
		t.Fatalf("entries up to %d, applied %d, answers %v", last, len(f.m.applied), f.sent)
	}
	f.append(1, 1, 0, 0, 4, entries(0, 1, 4, 3000))
	answer("what lies before what is committed", false, 2, 0)
}

// leads has the other replicas elect this one.
func (f *follower) leads() {
	f.t.Helper()
	for range 100 {
		f.tick()
		sent := f.sent
		f.sent = nil
		for _, m := range sent {
			switch m.Type {
			case raftpb.MsgPreVote:
				f.step(raftpb.Message{Type: raftpb.MsgPreVoteResp, From: m.To, Term: m.Term})
			case raftpb.MsgVote:
				f.step(raftpb.Message{Type: raftpb.MsgVoteResp, From: m.To, Term: m.Term})
			case raftpb.MsgApp:
				f.answer(m)
			}
		}
		f.work()
		if f.group().leading {
			return
		}
	}
	f.t.Fatal("it does not lead")
}

// answer says that entries are stored.
func (f *follower) answer(m raftpb.Message) {
	f.step(raftpb.Message{Type: raftpb.MsgAppResp, From: m.To, Term: m.Term, Index: m.Index + uint64(len(m.Entries))})
}

// A leader's messages fit what another replica has room for, whatever its log
// holds: a share of the whole log, and of one file of it.
func TestMessagesFitTheLogOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		file, log int64
		most      int
	}{
		"a share of a file":    {256 << 10, 4 << 20, 32 << 10},
		"a share of the log":   {512 << 10, 1 << 20, 64 << 10},
		"more than one is due": {64 << 20, 512 << 20, proposeBytesMax},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t, func(s *Config) { s.WAL.FileBytes, s.WAL.BytesMax = c.file, c.log })
			f.leads()
			first := f.group().applied
			for range 40 {
				if err := f.e.Propose(followed, []byte(strings.Repeat("x", 5000)), nil, true); err != nil {
					t.Fatal(err)
				}
				f.work()
				for _, m := range f.sent { // replica 3 keeps up
					if m.Type == raftpb.MsgApp && m.To == 3 {
						f.answer(m)
					}
				}
				f.sent = nil
				f.work()
			}
			if got := f.group().applied - first; got != 40 {
				t.Fatalf("%d of 40 applied", got)
			}
			// Replica 1 has lost what it was sent, and says so.
			f.step(raftpb.Message{Type: raftpb.MsgAppResp, From: 1, Term: f.group().rn.BasicStatus().Term, Index: first + 40, Reject: true, RejectHint: first, LogTerm: f.group().appliedT})
			f.work()
			messages, largest := 0, 0
			for range 40 {
				sent := f.sent
				f.sent = nil
				for _, m := range sent {
					if m.Type == raftpb.MsgApp && m.To == 1 && len(m.Entries) > 0 {
						messages++
						largest = max(largest, int(dataBytes(m.Entries)))
						f.answer(m)
					}
				}
				f.work()
			}
			if messages == 0 || largest > c.most || largest < min(c.most/2, 100_000) {
				t.Fatalf("%d messages of up to %d bytes, at most %d", messages, largest, c.most)
			}
		})
	}
}

// A group without a quorum applies nothing, and must not keep the write-ahead log
// of the others from being freed (G5); it loses nothing by that.
func TestGroupWithoutQuorumDoesNotHoldTheLog(t *testing.T) {
	t.Run("four files", func(t *testing.T) { withoutQuorum(t, 0, nil) })
	t.Run("at the end of a first file that leaves no room for a third", func(t *testing.T) {
		withoutQuorum(t, 110<<10, func(c *Config) {
			c.WAL.FirstFileBytes, c.WAL.FileBytes, c.WAL.BytesMax = 128<<10, 256<<10, 512<<10
		})
	})
}

// withoutQuorum gives a group entries that are never committed, behind so many bytes
// of the write-ahead log, and fills that again and again.
func withoutQuorum(t *testing.T, behind int64, set func(*Config)) {
	f := newFollower(t, set)
	for f.e.wal.Tail() < behind {
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("y", 2000)), nil, false); err != nil {
			t.Fatal(err)
		}
		f.work()
	}
	f.e.Checkpoint()
	f.tick()
	f.append(1, 1, 0, 0, 0, entries(0, 1, 3, 3000))
	f.work()
	at := f.group().low(0)
	for i := range 2000 {
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("y", 2000)), nil, false); err != nil {
			t.Fatalf("proposal %d: %v", i, err)
		}
		f.work()
		f.tick()
		if s := f.e.Stats(); s.Waiting > 0 {
			t.Fatalf("proposal %d waits for space: %+v", i, s)
		}
	}
	g := f.group()
	if last, _ := g.store.LastIndex(); last != 3 || g.low(0) == at {
		t.Fatalf("the log ends at %d, and is held from %d on", last, g.low(0))
	}
}
