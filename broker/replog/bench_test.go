package replog

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// counter is a machine without files.
type counter struct{ applied int }

func (m *counter) Apply(Entry) error           { m.applied++; return nil }
func (m *counter) Dropped(any, error)          {}
func (m *counter) Lead(uint64)                 {}
func (m *counter) Unlead()                     {}
func (m *counter) Parked(error)                {}
func (m *counter) Capture()                    {}
func (m *counter) Flushed() (done, stale bool) { return true, false }
func (m *counter) State() []byte               { return []byte{1} }
func (m *counter) Work(bool) Task              { return nil }
func (m *counter) Worked(Task, error) error    { return nil }
func (m *counter) Retry()                      {}
func (m *counter) Durable()                    {}
func (m *counter) Close()                      {}

// null is a disk that keeps no writes of the log: a benchmark measures the
// engine and not the memory of a disk.
type null struct{ vfs.FS }

type nullFile struct{ vfs.File }

func (n null) Create(name string) (vfs.File, error) {
	f, err := n.FS.Create(name)
	return nullFile{f}, err
}
func (n null) CreateDirect(name string) (vfs.File, error) {
	f, err := n.FS.CreateDirect(name)
	return nullFile{f}, err
}
func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) Preallocate(int64) error                { return nil }

// startCounters starts n groups on such a disk.
func startCounters(b *testing.B, n int) (*Engine, []*counter, func()) {
	b.Helper()
	c := DefaultConfig(null{vfs.NewMem(vfs.MemOptions{})})
	k := uint64(0)
	c.WAL.Entropy = func() uint64 { k++; return k }
	now := time.Unix(1, 0)
	e, _, err := Open(c, now)
	if err != nil {
		b.Fatal(err)
	}
	drain := func() {
		for tasks := e.Poll(now); len(tasks) > 0; tasks = e.Poll(now) {
			for _, t := range tasks {
				if err := t.Do(); err != nil {
					b.Fatal(err)
				}
				e.Done(now, t)
			}
		}
	}
	var ms []*counter
	for id := 1; id <= n; id++ {
		m := &counter{}
		ms = append(ms, m)
		err := e.Start(Spec{ID: ident.GroupID(id), Replica: 1, Voters: []ident.ReplicaID{1}}, func([]byte) (Machine, error) { return m, nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	drain()
	return e, ms, drain
}

// BenchmarkProposeApply proposes one batch of 16 KiB per group and performs all
// I/O until each is applied. One operation is one batch.
func BenchmarkProposeApply(b *testing.B) {
	for _, groups := range []int{1, 64} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			e, ms, drain := startCounters(b, groups)
			data := bytes.Repeat([]byte{7}, 16<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			proposed := 0
			for b.Loop() {
				if err := e.Propose(ident.GroupID(1+proposed%groups), data, nil, false); err != nil {
					b.Fatal(err)
				}
				if proposed++; proposed%groups == 0 {
					drain()
				}
			}
			drain()
			applied := -groups // the entries that began the terms
			for _, m := range ms {
				applied += m.applied
			}
			if applied != proposed {
				b.Fatalf("%d applied of %d", applied, proposed)
			}
		})
	}
}

// BenchmarkIdle is the cost of 3,300 groups that do nothing.
func BenchmarkIdle(b *testing.B) {
	e, _, _ := startCounters(b, 3300)
	now := time.Unix(2, 0)
	b.Run("poll", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Poll(now)
		}
	})
	b.Run("tick", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Tick(now)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte{})
	f.Add((&state{term: 1, vote: 2, commit: 3, applied: 4, appliedTerm: 1, voters: []ident.ReplicaID{2, 3}, machine: []byte("m")}).encode())
	f.Add((&state{}).encode())
	huge := (&state{}).encode()
	huge[41], huge[42], huge[43], huge[44] = 0xff, 0xff, 0xff, 0xff
	f.Add(huge)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.encode(), b) {
			t.Fatalf("%x decodes and encodes to %x", b, s.encode())
		}
		p := withHardState(b, s.term+1, s.vote)
		if again, err := decodeState(p); err != nil || again.term != s.term+1 || !bytes.Equal(again.machine, s.machine) {
			t.Fatalf("another term: %+v, %v", again, err)
		}
	})
}
