package repair

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// TestSalvageAgreesWithOpen: of a log that is whole, salvage has what recovery
// has, and no holes.
func TestSalvageAgreesWithOpen(t *testing.T) {
	for _, build := range []func(testing.TB) (*life, *vfs.Mem){history, longHistory} {
		_, fs := build(t)
		s, err := wal.Salvage(fs, walSettings(9), appliedIn)
		if err != nil || len(s.Holes) > 0 {
			t.Fatalf("%+v, %v", s, err)
		}
		l, rec, err := wal.Open(clone(t, fs), walSettings(9))
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.Groups) != len(s.Groups) {
			t.Fatalf("%d groups, recovery has %d", len(s.Groups), len(rec.Groups))
		}
		for i, want := range rec.Groups {
			got := s.Groups[i]
			if got.ID != want.ID || got.Replica != want.Replica || !bytes.Equal(got.State, want.State) || got.Low != want.Low ||
				got.Term != want.Term || got.Vote != want.Vote || got.Commit != want.Commit || s.Doubt(got.ID) {
				t.Errorf("group %d: %+v, recovery has %+v", want.ID, got, want)
			}
			if a, b := above(got.Entries, appliedIn(got.State)), above(want.Entries, appliedIn(want.State)); !same(a, b) {
				t.Errorf("group %d: %d entries, recovery has %d", want.ID, len(a), len(b))
			}
		}
		l.Close()
	}
}

func above(ents []wal.Entry, applied uint64) []wal.Entry {
	for len(ents) > 0 && ents[0].Index <= applied {
		ents = ents[1:]
	}
	return ents
}

func same(a, b []wal.Entry) bool {
	for i := range a {
		if i >= len(b) || a[i].Index != b[i].Index || a[i].Term != b[i].Term || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return len(a) == len(b)
}

// cut changes the length of a file.
func cut(t testing.TB, fs vfs.FS, name string, size int64) {
	t.Helper()
	f, err := fs.Open(name)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// segments are the data files of a partition.
func (l *life) segments(p ident.Partition) (dir string, list []dirFile) {
	l.t.Helper()
	entries, err := l.fs.List("partitions")
	l.must(err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name, p.Dir()+".") {
			dir = "partitions/" + e.Name
		}
	}
	list, err = listSegments(l.fs, dir)
	l.must(err)
	if len(list) < 3 {
		l.t.Fatalf("%d segments in %s", len(list), dir)
	}
	return dir, list
}

// TestDamage damages a directory in one way after another.
func TestDamage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(l *life)
		// refused: no broker starts; holes and lost: what the first partition may
		// lose.
		refused, holes, lost bool
		rebuilt              bool
	}{
		{name: "batch in a closed segment", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			spoil(l.t, l.fs, s[0].name, s[0].size/2)
		}},
		{name: "bit of a batch in a closed segment", damage: func(l *life) { // put right without loss
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[0].name, s[0].size/2, 2)
		}},
		{name: "bit of the fields of a batch", damage: func(l *life) { // likewise
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[0].name, 24, 6)
		}},
		{name: "bit of the active segment", damage: func(l *life) { // likewise
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[len(s)-1].name, 300, 6)
		}},
		{name: "bit of a leader epoch", damage: func(l *life) { // likewise
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[0].name, 13, 6)
		}},
		{name: "bit of a leader epoch in the active segment", damage: func(l *life) { // likewise
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[len(s)-1].name, 15, 1)
		}},
		{name: "length of a batch", damage: func(l *life) { // put right without loss
			_, s := l.segments(l.parts[0])
			flip(l.t, l.fs, s[0].name, 9, 2)
		}},
		{name: "closed segment is missing", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			l.must(l.fs.Remove(s[1].name))
		}},
		{name: "first segment is missing", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			l.must(l.fs.Remove(s[0].name))
		}},
		{name: "active segment is missing", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			l.must(l.fs.Remove(s[len(s)-1].name))
		}},
		{name: "closed segment is short", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			cut(l.t, l.fs, s[0].name, s[0].size-100)
		}},
		{name: "active segment is short", holes: true, damage: func(l *life) {
			_, s := l.segments(l.parts[0])
			cut(l.t, l.fs, s[len(s)-1].name, 300)
		}},
		{name: "index and batch", holes: true, damage: func(l *life) {
			dir, s := l.segments(l.parts[0])
			flip(l.t, l.fs, segmentName(dir, s[0].base, indexSuffix), s[0].index-20, 2)
			spoil(l.t, l.fs, s[0].name, s[0].size/2)
		}},
		{name: "index alone", damage: func(l *life) {
			dir, s := l.segments(l.parts[0])
			flip(l.t, l.fs, segmentName(dir, s[0].base, indexSuffix), s[0].index-20, 2)
		}},
		{name: "header of a file of the log", refused: true, damage: func(l *life) {
			flip(l.t, l.fs, newestLog(l.t, l.fs), 40, 1)
		}},
		{name: "block of the header is gone", refused: true, damage: func(l *life) {
			wipe(l.t, l.fs, newestLog(l.t, l.fs), 0, 4096)
		}},
		{name: "header of a write", refused: true, damage: func(l *life) {
			flip(l.t, l.fs, newestLog(l.t, l.fs), 4096+30, 1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, fs := quietHistory(t)
			l.fs = clone(t, fs)
			tt.damage(l)
			if err := wal.Check(l.fs, walSettings(1)); (err != nil) != tt.refused {
				t.Fatalf("the log: %v", err)
			}
			before := files(t, l.fs, ".")
			r, err := Inspect(l.fs, options(1))
			l.must(err)
			for name, size := range files(t, l.fs, ".") {
				if before[name] != size {
					t.Errorf("Inspect changed %s", name)
				}
			}
			p := r.Partition(l.parts[0].Topic.Hex(), 0)
			if got := p != nil && len(p.Holes) > 0; got != tt.holes || r.Refused != tt.refused || r.Loses() != (tt.holes || tt.lost) {
				t.Fatalf("report: %+v", r)
			}
			if r.Needed {
				r = l.repaired()
				if r.Quarantine != "quarantine/000001" {
					t.Errorf("quarantine %q", r.Quarantine)
				}
			}
			l.judge(r)
		})
	}
}

// wipe overwrites bytes with zeros.
func wipe(t testing.TB, fs vfs.FS, name string, off int64, n int) {
	t.Helper()
	f, err := fs.Open(name)
	if err == nil {
		_, err = f.WriteAt(make([]byte, n), off)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// quietHistory ends with a checkpoint, so that segments hold everything.
func quietHistory(t testing.TB) (*life, *vfs.Mem) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := newLife(t, fs)
	l.must(l.open())
	l.create("orders", 2)
	for range 3 {
		for _, p := range l.parts {
			l.produce(p, 30, true)
		}
	}
	l.checkpoint()
	l.n.Close()
	return l, fs
}

// TestNothingLeftOfACheckpoint: a partition of which the log holds nothing is made
// again from its files.
func TestNothingLeftOfACheckpoint(t *testing.T) {
	l, fs := quietHistory(t)
	s, err := wal.Salvage(fs, walSettings(1), appliedIn)
	l.must(err)
	// The same log without the partition's group, damaged in addition.
	var groups []wal.RepairedGroup
	hit := l.parts[0]
	r := l.n.Replica(hit)
	for _, g := range s.Groups {
		if g.ID == r.Info.Group {
			continue
		}
		groups = append(groups, wal.RepairedGroup{ID: g.ID, Replica: g.Replica, State: g.State, Term: g.Term, Vote: g.Vote, Commit: g.Commit,
			Entries: above(g.Entries, appliedIn(g.State))})
	}
	log, err := s.Prepare(fs, walSettings(2).Entropy, groups)
	l.must(err)
	l.must(log.Commit())
	l.must(fs.MkdirAll("away"))
	l.must(log.Retire("away"))
	// Damage to a record of no group in particular.
	all := writes(t, fs, newestLog(t, fs))
	wipe(t, fs, newestLog(t, fs), int64(len(all)-1)*wal.Block, wal.Block) // the last but one
	report, err := Inspect(fs, options(3))
	l.must(err)
	p := report.Partition(hit.Topic.Hex(), 0)
	if !report.Refused || p == nil || !p.Rebuilt || p.End != 90 {
		t.Fatalf("%+v", report)
	}
	l.judge(l.repaired())
}

// TestMetadataGone: without the cluster metadata nothing can be done, and the
// report says so.
func TestMetadataGone(t *testing.T) {
	l, fs := quietHistory(t)
	s, err := wal.Salvage(fs, walSettings(1), appliedIn)
	l.must(err)
	var groups []wal.RepairedGroup
	for _, g := range s.Groups[1:] {
		groups = append(groups, wal.RepairedGroup{ID: g.ID, Replica: g.Replica, State: g.State, Term: g.Term, Vote: g.Vote, Commit: g.Commit})
	}
	log, err := s.Prepare(fs, walSettings(2).Entropy, groups)
	l.must(err)
	l.must(log.Commit())
	r, err := Inspect(fs, options(3))
	l.must(err)
	if r.Obstacle == "" || !errors.Is(Repair(fs, options(3), r), ErrObstacle) {
		t.Fatalf("%+v", r)
	}
}

// TestTermsDoNotGoBack: a group whose appends behind the checkpoint are all lost
// goes on above the term that the checkpoint says, also if all other groups have
// lower ones.
func TestTermsDoNotGoBack(t *testing.T) {
	l, fs := quietHistory(t)
	for range 12 {
		l.must(l.open())
		l.checkpoint() // and old files are not needed any more
		l.n.Close()
	}
	l.must(l.open())
	l.create("late", 1)
	late := l.parts[len(l.parts)-1]
	for range 8 { // until no file is left in which the other groups began a term
		l.produce(late, 200, true)
		l.checkpoint()
	}
	checkpointed := len(writes(t, fs, newestLog(t, fs)))
	l.produce(late, 5, false)
	l.n.Close()
	name := newestLog(t, fs)
	all := writes(t, fs, name)
	off := int64(wal.FileHeaderBytes)
	for i, w := range all[:len(all)-1] {
		if i >= checkpointed {
			wipe(t, fs, name, off, int(w.Bytes))
		}
		off += w.Bytes
	}
	r, err := Inspect(fs, options(1))
	l.must(err)
	if r.Metadata == nil || r.Metadata.Term < 13 {
		t.Fatalf("%+v, %+v", r, r.Metadata)
	}
	l.judge(l.repaired())
	l.must(l.open())
	l.create("later", 1)
	l.n.Close()
}
