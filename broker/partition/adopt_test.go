package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// adopter returns a new replica that adopts another one's state, and the pieces
// that it asks for.
func adopter(t *testing.T, state []byte) (*Partition, *[][2]ident.Offset) {
	t.Helper()
	var asked [][2]ident.Offset
	c := Config{
		ID: ident.Partition{Topic: ident.TopicID{1}}, FS: vfs.NewMem(vfs.MemOptions{}), Dir: "copy", Cache: storage.NewCache(storage.Limits{}),
		Pull: func(_ ident.ReplicaID, at, until ident.Offset) { asked = append(asked, [2]ident.Offset{at, until}) },
	}
	p, err := Open(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Adopt(7, state); err != nil {
		t.Fatal(err)
	}
	return p, &asked
}

// answer gives the adopter what it asked for until it asks no more.
func answer(t *testing.T, p, source *Partition, asked *[][2]ident.Offset) {
	t.Helper()
	for len(*asked) > 0 {
		q := (*asked)[0]
		*asked = (*asked)[1:]
		piece, err := source.Copy(q[0], q[1])
		p.Take(7, piece, err)
	}
}

// TestAdoptCopiesSegments: a copy has the same segments with the same bytes, and
// the same state, also when the source's log begins in the middle of one.
func TestAdoptCopiesSegments(t *testing.T) {
	for _, c := range []struct {
		name  string
		start ident.Offset
		roll  bool
	}{{"from the beginning", 0, false}, {"from the middle of a segment", 7, false}, {"rolled at the end", 7, true}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			entries := [][]byte{entry.Build(entry.Settings, 1, nil, Settings{SegmentBytes: 600, IndexIntervalBytes: 100}.appendTo(nil))}
			for i := range 30 {
				entries = append(entries, NewEntry(spec{id: int64(i % 3), seq: int32(i / 3), size: 10 + i}.build(t), 1000, 0, nil))
			}
			if c.start > 0 {
				header := append(binary.LittleEndian.AppendUint64(nil, uint64(c.start)), reasonDeleteRecords)
				entries = append(entries, entry.Build(entry.LogStart, 1, header, nil))
			}
			if c.roll {
				entries = append(entries, entry.Build(entry.Roll, 1, nil, nil))
			}
			for _, e := range entries {
				if err := h.entry(e, nil); err != nil {
					t.Fatal(err)
				}
			}
			h.work(true)
			state, err := h.p.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			p, asked := adopter(t, state)
			answer(t, p, h.p, asked)
			if done, err := p.Adopted(); !done || err != nil {
				t.Fatalf("not adopted: %v", err)
			}
			next, err := p.Switch()
			if err != nil {
				t.Fatal(err)
			}
			defer next.Close()
			if next.Dir() != "copy.1" {
				t.Errorf("in %s", next.Dir())
			}
			got, want := append(next.log.Sealed(), next.log.Active()), append(h.p.log.Sealed(), h.p.log.Active())
			if !slices.Equal(got, want) || len(want) < 3 {
				t.Errorf("segments %v, want %v", got, want)
			}
			if got, want := bytesOf(t, next), bytesOf(t, h.p); !bytes.Equal(got, want) {
				t.Errorf("%d other bytes, want %d", len(got), len(want))
			}
			if !bytes.Equal(next.encodeRest(), h.p.encodeRest()) || next.log.Start() != h.p.log.Start() || next.log.End() != h.p.log.End() {
				t.Error("another state")
			}
		})
	}
}

// two applies two batches.
func (h *harness) two() {
	h.t.Helper()
	for i := range 2 {
		if err := h.entry(NewEntry(spec{id: 1, seq: int32(i)}.build(h.t), 1000, 0, nil), nil); err != nil {
			h.t.Fatal(err)
		}
	}
}

// bytesOf returns what a replica's segments hold.
func bytesOf(t *testing.T, p *Partition) (out []byte) {
	at, end := p.Bounds()
	for at < end {
		c, err := p.Copy(at, end)
		if err != nil {
			t.Fatal(err)
		}
		out, at = append(out, c.Batches...), c.Next
	}
	return out
}

// TestAdoptEndsOnBadPieces: a piece that cannot be ends the adoption, and one of
// an earlier attempt does nothing.
func TestAdoptEndsOnBadPieces(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	good, err := h.p.Copy(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Copied){
		"flipped":         func(c *Copied) { c.Batches[len(c.Batches)-1] ^= 1 },
		"cut":             func(c *Copied) { c.Batches = c.Batches[:len(c.Batches)-1] },
		"beyond the end":  func(c *Copied) { c.Next = 3 },
		"nothing":         func(c *Copied) { c.Next = 0 },
		"batch past next": func(c *Copied) { c.Next = 1 },
	} {
		p, _ := adopter(t, state)
		c := good
		c.Batches = bytes.Clone(good.Batches)
		change(&c)
		p.Take(7, c, nil)
		if done, err := p.Adopted(); done || err == nil {
			t.Errorf("%s: taken", name)
		}
		p.Close()
	}
	p, _ := adopter(t, state)
	p.Take(8, good, nil)
	p.Take(7, Copied{From: 1, Next: 2}, nil)
	if done, err := p.Adopted(); done || err != nil {
		t.Errorf("answers to nobody changed it: %v, %v", done, err)
	}
	p.Close()
}

// FuzzSnapshot: another replica's state is refused or has sense.
func FuzzSnapshot(f *testing.F) {
	h := newHarness(f)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := decodeSnapshot(b)
		if err == nil && (s.logStart > s.logEnd || s.firstBase > s.activeBase || s.activeBase > s.logEnd) {
			t.Fatalf("%+v", s)
		}
	})
}

// TestAdoptGoesOnWithALaterState: a copy in the making becomes one of a later
// state. A piece that was asked for before does not tell whether a segment ends
// where the log ended then.
func TestAdoptGoesOnWithALaterState(t *testing.T) {
	h := newHarness(t)
	h.two()
	before, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, before)
	early, err := h.p.Copy((*asked)[0][0], (*asked)[0][1])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.entry(entry.Build(entry.Roll, 1, nil, nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := h.entry(NewEntry(spec{id: 1, seq: 2}.build(t), 1000, 0, nil), nil); err != nil {
		t.Fatal(err)
	}
	after, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Adopt(7, after); err != nil || p.incarnations != 1 {
		t.Fatalf("begun anew: %v", err)
	}
	p.Take(7, early, nil)
	answer(t, p, h.p, asked)
	if done, err := p.Adopted(); !done || err != nil {
		t.Fatalf("not adopted: %v", err)
	}
	if err := p.Adopt(7, after); !errors.Is(err, replog.ErrAdopting) {
		t.Fatalf("a copy that is complete: %v", err)
	}
	next, err := p.Switch()
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	got, want := append(next.log.Sealed(), next.log.Active()), append(h.p.log.Sealed(), h.p.log.Active())
	if !slices.Equal(got, want) || len(want) != 2 {
		t.Errorf("segments %v, want %v", got, want)
	}
	if !bytes.Equal(bytesOf(t, next), bytesOf(t, h.p)) || !bytes.Equal(next.encodeRest(), h.p.encodeRest()) {
		t.Error("another state")
	}
}
