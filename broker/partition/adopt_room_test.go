package partition

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/internal/ident"
)

// A copy takes a piece only if the disk has room for it, and asks for it again
// later.
func TestCopyWaitsForRoomOnDisk(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	defer p.Close()
	room, taken := false, int64(0)
	p.c.TakeDisk = func(bytes int64) bool {
		if room {
			taken += bytes
		}
		return room
	}
	answer(t, p, h.p, asked)
	if done, err := p.Adopted(); done || err != nil || p.adoption.log.End() > p.adoption.target.firstBase {
		t.Fatalf("taken without room: %v, %v, up to %d", done, err, p.adoption.log.End())
	}
	room = true
	p.Pulling()
	answer(t, p, h.p, asked)
	if done, err := p.Adopted(); !done || err != nil {
		t.Fatalf("not adopted with room: %v", err)
	}
	if n := p.adoption.log.Unwritten(); n == 0 || taken != n || p.Unwritten() < n {
		t.Fatalf("%d bytes were asked for, %d are to be written, %d said", taken, n, p.Unwritten())
	}
}

// A copy whose indexes have no room is given up while it can be: what it replaces
// would go only when they are written.
func TestCopyIsGivenUpWithoutRoomForItsIndexes(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	defer p.Close()
	room, wanted := true, int64(0)
	p.c.FinishDisk = func() bool {
		wanted = p.Unwritten() - p.adoption.log.Unwritten()
		return room
	}
	answer(t, p, h.p, asked)
	if done, err := p.Adopted(); !done || err != nil || wanted <= 0 {
		t.Fatalf("with room: %v, %v; %d bytes are to be written besides", done, err, wanted)
	}
	room = false
	if done, err := p.Adopted(); done || !errors.Is(err, errAdopt) {
		t.Fatalf("without room: %v, %v", done, err)
	}
}

// A replica that is to adopt a state in which its own oldest segments are deleted
// gives them up at once: their space may be what the copy needs. Everything else
// stays as it was.
func TestAdoptGivesUpWhatIsDeleted(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	answer(t, p, h.p, asked)
	next, err := p.Switch()
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	defer p.Close()
	next.log.Roll() // two batches in a closed segment
	if err := h.entry(entry.Build(entry.LogStart, 1, startHeader(2, reasonDeleteRecords), nil), nil); err != nil {
		t.Fatal(err)
	}
	if state, err = h.p.Snapshot(); err != nil {
		t.Fatal(err)
	}
	before := next.encodeRest()
	if err := next.Adopt(7, state); err != nil {
		t.Fatal(err)
	}
	if first := next.log.FirstBase(); first != 2 || next.log.Start() != ident.Offset(0) || next.log.End() != 2 {
		t.Fatalf("first segment %d, log from %d to %d", first, next.log.Start(), next.log.End())
	}
	if string(next.encodeRest()) != string(before) {
		t.Fatal("the state changed")
	}
}
