package partition

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

// TestLocate: every offset of the log is in the tier or on the disk, and nothing
// below the log start is anywhere.
func TestLocate(t *testing.T) {
	h := newTiered(t)
	first := h.upload()
	second := h.upload()
	h.p.Maintain(2000, tieredUpkeep())
	h.apply(-1)
	if h.p.log.LocalStart() != second.End {
		t.Fatalf("the local log starts at %d, the tier ends at %d", h.p.log.LocalStart(), second.End)
	}
	for o := range h.end() + 1 {
		p, err := h.p.Locate(o)
		switch {
		case err != nil, p.Local != (o >= second.End), p.At != o:
			t.Fatalf("offset %d: %+v, %v", o, p, err)
		case !p.Local && (p.End != second.End || p.List.Len() != 2):
			t.Fatalf("offset %d is in a tier that ends at %d", o, p.End)
		}
	}
	h.deleteRecords(first.End + 1)
	h.apply(-1)
	for o, want := range map[ident.Offset]error{0: ErrOffsetOutOfRange, first.End: ErrOffsetOutOfRange, first.End + 1: nil} {
		if _, err := h.p.Locate(o); !errors.Is(err, want) {
			t.Errorf("offset %d: %v, want %v", o, err, want)
		}
	}
	empty, _ := h.p.tier.list.Trim(second.End)
	h.p.tiered.Store(&empty)
	if _, err := h.p.Locate(first.End + 1); !errors.Is(err, ErrTierUnavailable) {
		t.Errorf("an offset that nobody has: %v", err)
	}
	h.p.Unlead()
	if _, err := h.p.Locate(second.End); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
}
