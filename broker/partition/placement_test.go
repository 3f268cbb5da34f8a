package partition

import (
	"errors"
	"fmt"
	"testing"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// aged is a leader in its third epoch whose log is on disk only: closed segments
// of all three epochs.
func aged(t *testing.T) *harness {
	h := newHarness(t)
	h.segments(1000)
	for i := range 3 {
		h.fill(12, spec{size: 100})
		if i < 2 {
			h.lead()
		}
	}
	h.checkpoint()
	h.p.log.EvictIdle()
	return h
}

// TestWrongEpochIsDamage: a bit of a stored batch's leader epoch that is wrong is
// found wherever the batch is read: by consumers, by an upload to the cold tier and
// by another replica that copies. Everything else stays readable.
func TestWrongEpochIsDamage(t *testing.T) {
	h := aged(t)
	sealed := h.p.log.Sealed()
	if len(sealed) < 5 {
		t.Fatalf("%d closed segments", len(sealed))
	}
	bad := sealed[len(sealed)/2]
	flipByte(t, h.fs, h.p.Dir(), bad.Base, 15)
	end := h.p.log.End()
	for _, g := range sealed {
		c, err := h.p.Read(g.Base, end, 1, true)
		if g == bad {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes of a batch of a wrong epoch are read: %v", c.Bytes, err)
			}
			if piece, err := h.p.Copy(g.Base, end); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes of a batch of a wrong epoch are copied: %v", len(piece.Batches), err)
			}
		} else if err != nil || c.Batches != 1 {
			t.Errorf("segment %d, and %d is damaged: %v", g.Base, bad.Base, err)
		}
		if err := h.checkUpload(g); errors.Is(err, storage.ErrDamaged) != (g == bad) {
			t.Errorf("upload of segment %d, %d is damaged: %v", g.Base, bad.Base, err)
		}
	}
	if _, _, _, _, err := h.p.OffsetForTimestamp(0); err != nil { // in the first segment
		t.Error(err)
	}
}

// TestEpochsBelowTheStartAreForgotten: batches whose epoch began below the log
// start are read as before once it is forgotten where, and a wrong one is found
// as well.
func TestEpochsBelowTheStartAreForgotten(t *testing.T) {
	h := aged(t)
	sealed := h.p.log.Sealed()
	g := sealed[len(sealed)-2]
	h.p.DeleteRecords(&StartRequest{Offset: g.Base + 1, Done: func(ident.Offset, error) {}}, 1000)
	h.apply(-1)
	if h.p.log.Start() != g.Base+1 {
		t.Fatalf("the log starts at %d", h.p.log.Start())
	}
	if c, err := h.p.Read(g.Base+1, h.p.log.End(), 1, true); err != nil || c.Batches != 1 {
		t.Errorf("read at the log start: %v", err)
	}
	flipByte(t, h.fs, h.p.Dir(), sealed[len(sealed)-1].Base, 12)
	if _, err := h.p.Read(sealed[len(sealed)-1].Base, h.p.log.End(), 1, true); !errors.Is(err, ErrDamaged) {
		t.Errorf("read of a wrong epoch: %v", err)
	}
}

// checkUpload does with a closed segment what an upload does.
func (h *harness) checkUpload(g storage.SegmentInfo) error {
	h.t.Helper()
	f, release, err := h.p.OpenUpload(&Upload{Base: g.Base, End: g.End, Bytes: g.Bytes})
	if err != nil {
		h.t.Fatal(err)
	}
	defer release()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		h.t.Fatal(err)
	}
	for pos := int64(0); pos < f.Size(); {
		header, err := record.ParseHeader(b[pos:])
		if err != nil {
			h.t.Fatal(err)
		}
		if err := f.Check(pos, &header); err != nil {
			return err
		}
		pos += int64(header.Size())
	}
	return nil
}

// flipByte flips a bit of a segment's file.
func flipByte(t *testing.T, fs vfs.FS, dir string, base ident.Offset, at int64) {
	t.Helper()
	f, err := fs.Open(fmt.Sprintf("%s/%020d.log", dir, base))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptRefusesWrongEpochs: a piece of another replica's log whose epochs are not
// those of its state is not taken.
func TestAdoptRefusesWrongEpochs(t *testing.T) {
	h := aged(t)
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	defer p.Close()
	piece, err := h.p.Copy((*asked)[0][0], (*asked)[0][1])
	if err != nil {
		t.Fatal(err)
	}
	piece.Batches[14] ^= 1
	p.Take(7, piece, nil)
	if done, err := p.Adopted(); done || !errors.Is(err, errAdopt) || !errors.Is(err, errState) {
		t.Fatalf("adopted %v: %v", done, err)
	}
}
