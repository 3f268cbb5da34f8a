package repair

import (
	"encoding/binary"
	"errors"
	"io"
	"sort"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// Base offset and leader epoch of a batch are in no checksum of its own. What the
// index and the epoch history of the checkpoint say of them is right.

// place puts the base offset and the leader epoch that are known into the header of
// the batch at a position. It reports whether others stood there.
func (s *scanner) place(pos int64, head []byte) bool {
	s.known = -1
	h, err := record.ParseHeader(head)
	if err != nil || h.LastOffsetDelta < 0 {
		return false
	}
	base, epoch := h.BaseOffset, h.LeaderEpoch
	if s.names != nil {
		if o, ok := s.names[pos]; ok {
			base, s.known = int64(o), pos
		} else if s.sure {
			base, s.known = int64(s.floor), pos
		}
	}
	if e := epochAt(s.epochs, ident.Offset(base)+ident.Offset(h.LastOffsetDelta)); e >= 0 {
		epoch = int32(e)
	}
	if base == h.BaseOffset && epoch == h.LeaderEpoch {
		return false
	}
	return record.SetPlacement(head, base, epoch) == nil
}

// epochAt returns the leader epoch of the batch that ends at an offset, -1 if it is
// not known.
func epochAt(epochs []epochStart, last ident.Offset) ident.Epoch {
	i := sort.Search(len(epochs), func(i int) bool { return epochs[i].start > last })
	if i == 0 {
		return -1
	}
	return epochs[i-1].epoch
}

// indexed returns what the index of a segment names; bytes is how much of the file
// counts, -1: all. It is nil if there is no whole index.
func (f *dirFile) indexed(fs vfs.FS, dir string, bytes int64) (map[int64]ident.Offset, error) {
	if bytes < 0 {
		bytes = f.index
	}
	if bytes <= 0 || bytes > f.index {
		return nil, nil
	}
	file, err := fs.Open(segmentName(dir, f.base, indexSuffix))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := make([]byte, bytes)
	if n, err := file.ReadAt(b, 0); n < len(b) {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, nil
	}
	named, err := storage.IndexedBatches(b, f.base)
	if err != nil {
		return nil, nil // a broker makes it again
	}
	return named, nil
}

// history reads the epochs of a partition's state. It is nil if there are none, or
// the state is of a form that only a broker knows.
func (m *machineState) history() []epochStart {
	le, b := binary.LittleEndian, m.rest
	if len(b) < 2 {
		return nil
	}
	settings := 10 * int(le.Uint16(b)) // bytes
	if b = b[2:]; len(b) < settings+4 {
		return nil
	}
	b = b[settings:]
	n := int(le.Uint32(b))
	if b = b[4:]; n > len(b)/12 {
		return nil
	}
	out := make([]epochStart, n)
	for i := range out {
		out[i] = epochStart{ident.Epoch(le.Uint32(b[12*i:])), ident.Offset(le.Uint64(b[12*i+4:]))}
	}
	return out
}

// epochRun is batches of one epoch in a row.
type epochRun struct {
	epochStart
	many bool // more than one
}

// addRuns adds the epochs of batches to those of the batches before them.
func addRuns(runs []epochRun, batches []batchAt) []epochRun {
	for i := range batches {
		h := &batches[i].header
		if n := len(runs); n > 0 && runs[n-1].epoch == ident.Epoch(h.LeaderEpoch) {
			runs[n-1].many = true
			continue
		}
		runs = append(runs, epochRun{epochStart{ident.Epoch(h.LeaderEpoch), ident.Offset(h.BaseOffset)}, false})
	}
	return runs
}

// epochsOf makes an epoch history. Epochs do not go back: a single batch whose epoch
// is above that of the next, and not due, has a wrong one, and makes none.
func epochsOf(runs []epochRun) (out []epochStart) {
	for i, r := range runs {
		if !r.many && i+1 < len(runs) && r.epoch > runs[i+1].epoch && (i == 0 || runs[i-1].epoch <= runs[i+1].epoch) {
			continue
		}
		if n := len(out); n == 0 || r.epoch > out[n-1].epoch {
			out = append(out, r.epochStart)
		}
	}
	return out
}
