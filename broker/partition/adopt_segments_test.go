package partition

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/internal/ident"
)

// A copy has the segments of the original, not those that its own settings, or
// its first batch, would make: the first one may begin with a hole, and older ones
// may be larger than segment.bytes is by now.
func TestAdoptKeepsSegmentBorders(t *testing.T) {
	plain := func(h *harness, seq int32) {
		h.t.Helper()
		if err := h.entry(NewEntry(spec{id: 9, seq: seq, size: 100}.build(h.t), 1000, 0, nil), nil); err != nil {
			h.t.Fatal(err)
		}
	}
	for name, make := range map[string]func(h *harness){
		"begins with a hole": func(h *harness) {
			plain(h, 0)
			roll(h)
			h.chained(spec{id: 4}, "drop", "drop")
			h.all()
			plain(h, 1)
			header := append(binary.LittleEndian.AppendUint64(nil, 1), reasonDeleteRecords)
			if err := h.entry(entry.Build(entry.LogStart, 1, header, nil), nil); err != nil {
				h.t.Fatal(err)
			}
		},
		"is of a log that begins with a hole": func(h *harness) {
			h.chained(spec{id: 4}, "drop", "drop")
			h.all()
			plain(h, 0)
			roll(h)
			plain(h, 1)
		},
		"larger than they may be now": func(h *harness) {
			for i := range int32(8) {
				plain(h, i)
			}
			roll(h)
			plain(h, 8)
			set := entry.Build(entry.Settings, 1, nil, Settings{SegmentBytes: 300, IndexIntervalBytes: 100}.appendTo(nil))
			if err := h.entry(set, nil); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newChainedHarness(t)
			make(h)
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
			got, want := append(next.log.Sealed(), next.log.Active()), append(h.p.log.Sealed(), h.p.log.Active())
			if !slices.Equal(got, want) {
				t.Errorf("segments %v, want %v", got, want)
			}
			if !bytes.Equal(bytesOf(t, next), bytesOf(t, h.p)) || !bytes.Equal(next.encodeRest(), h.p.encodeRest()) {
				t.Error("another state")
			}
			if next.log.Start() != h.p.log.Start() || next.log.LocalStart() != h.p.log.LocalStart() {
				t.Errorf("the log starts at %d, here at %d, want %d and %d", next.log.Start(), next.log.LocalStart(), h.p.log.Start(), h.p.log.LocalStart())
			}
		})
	}
}

func roll(h *harness) {
	h.t.Helper()
	if err := h.entry(entry.Build(entry.Roll, 1, nil, nil), nil); err != nil {
		h.t.Fatal(err)
	}
}

// What was asked for and got lost is asked for again, by Pulling only, and a piece
// that comes late is taken once.
func TestLostPieceIsAskedForAgain(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	defer p.Close()
	if p.pull(); len(*asked) != 1 {
		t.Fatalf("asked %d times at once", len(*asked))
	}
	p.Pulling()
	if len(*asked) != 2 || (*asked)[0] != (*asked)[1] {
		t.Fatalf("asked for %v", *asked)
	}
	answer(t, p, h.p, asked) // both
	if done, err := p.Adopted(); !done || err != nil {
		t.Fatalf("not adopted: %v", err)
	}
	if p.adoption.log.End() != ident.Offset(2) {
		t.Fatalf("the copy ends at %d", p.adoption.log.End())
	}
	if p.Pulling(); len(*asked) != 0 {
		t.Fatalf("asked for %v behind the end", *asked)
	}
}
