package segfile

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

var (
	// ErrDamaged: bytes that are not what a writer of this format, or of record
	// batches, wrote.
	ErrDamaged = errors.New("segfile: damaged")
	// ErrVersion: an object that this reader does not understand: of another
	// version, or with a section that must be understood.
	ErrVersion = errors.New("segfile: unknown version")
	// ErrSource: a Source whose fields cannot be true.
	ErrSource = errors.New("segfile: invalid source")
)

// BatchError is damage of one batch. It is an ErrDamaged too.
type BatchError struct {
	Position int64 // of the batch in the data
	// Offset is the first one that is in doubt: the batch's own base offset if
	// it could be read, else the one behind the last good batch.
	Offset ident.Offset
	Err    error
}

// Error names position and offset.
func (e *BatchError) Error() string {
	return fmt.Sprintf("%v: batch at position %d, offset %d: %v", ErrDamaged, e.Position, e.Offset, e.Err)
}

// Unwrap returns ErrDamaged and what is wrong with the batch.
func (e *BatchError) Unwrap() []error { return []error{ErrDamaged, e.Err} }

// Epoch is the first offset of a leader epoch.
type Epoch struct {
	Epoch ident.Epoch
	Start ident.Offset
}

// Source is a sealed segment of a partition, and what goes into its object
// beside the batches.
type Source struct {
	Cluster   string // cluster id; at most 65,535 bytes, like Topic
	Topic     string // the topic's name
	Partition ident.Partition
	Base      ident.Offset // first offset that the segment may hold
	End       ident.Offset // exclusive
	Term      uint64       // of the leader that uploads
	ID        manifest.ID  // of this upload, random, not zero
	// Data holds the batches in its first DataBytes bytes. It is read by Build,
	// and again by the reader of the Object.
	Data      io.ReaderAt
	DataBytes int64
	// Check, if it is not nil, is given the header and the position of every batch,
	// in order, once its checksum was found right. It tells whether base offset and
	// leader epoch are right, which no checksum covers; an error is damage.
	Check func(pos int64, h *record.Header) error
	// Producers is the producer state as of End, opaque here; empty: none. It is
	// copied.
	Producers []byte
	// Epochs ascend in both fields. Those that begin at or behind End are left
	// out. They are copied.
	Epochs []Epoch
}

// Options are for Build. The zero value is ready for use.
type Options struct {
	// IndexIntervalBytes is how far apart two indexed batches are at least; 0
	// means 16 KiB.
	IndexIntervalBytes int64
	// PartBytes is the size of the parts in which the store sends an object, for
	// Object.Checksum; 0 means 8 MiB, as in objstore.Options.
	PartBytes int64
	// BlockBytes is the size of the blocks that have a checksum each; 0 means
	// the constant of that name. It is rounded up to a power of two, and to
	// BlockBytesMin. Smaller ones than the default are for small objects.
	BlockBytes int64
}

const (
	indexIntervalDefault = 16 << 10
	partBytesDefault     = 8 << 20
)

// check tells whether the fields can be true. It looks at no data.
func (src *Source) check() error {
	s := src.segment()
	s.ObjectBytes = manifest.DataOffset + s.DataBytes + 1
	err := s.Check()
	switch {
	case err != nil:
	case src.ID == manifest.ID{}:
		err = errors.New("no upload id")
	case src.Partition.Index < 0:
		err = fmt.Errorf("partition %d", src.Partition.Index)
	case len(src.Cluster) > math.MaxUint16 || len(src.Topic) > math.MaxUint16:
		err = errors.New("a name of more than 65,535 bytes")
	case src.Data == nil:
		err = errors.New("no data")
	default:
		err = checkEpochs(src.Epochs)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	return nil
}

func checkEpochs(epochs []Epoch) error {
	last := Epoch{Epoch: -1, Start: -1}
	for _, e := range epochs {
		if e.Epoch <= last.Epoch || e.Start <= last.Start {
			return fmt.Errorf("epoch %d from offset %d behind epoch %d from offset %d", e.Epoch, e.Start, last.Epoch, last.Start)
		}
		last = e
	}
	return nil
}

// segment returns what the source says of the segment; the rest is set by Build.
func (src *Source) segment() manifest.Segment {
	return manifest.Segment{
		Base: src.Base, End: src.End, Term: src.Term, ID: src.ID, DataBytes: src.DataBytes, MaxTimestamp: -1,
	}
}
