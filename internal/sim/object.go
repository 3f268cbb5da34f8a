package sim

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// object is a segment in the object store, in the product's own format.
type object struct {
	key     string
	id      ident.Partition
	segment manifest.Segment
	raw     []byte // all of it
	data    []byte // the part of it that is batches
	batches []placed
	stored  time.Time
	life    *broker // that uploaded it

	told    time.Time // when its broker was told that it is there; zero: never
	named   bool      // a manifest named it
	unnamed time.Time // when none did any more
	// lost: no manifest names it and nobody can know that it is there: the
	// answer to its upload, or to its commit, was lost.
	lost bool
	// given: a repair may have lost what is known of it.
	given bool
	// unlisted: a stale listing of its deleted topic left it out.
	unlisted bool
}

// placed is a batch in an object.
type placed struct {
	base, last ident.Offset
	at, size   int
}

// newObject makes the object of an upload, without its data.
func newObject(j *node.UploadJob, life *broker) *object {
	u := &j.Segment
	o := &object{id: j.ID, life: life, segment: manifest.Segment{Base: u.Base, End: u.End, Term: u.Term, ID: j.Object}}
	o.key = o.segment.Key("sim", j.ID)
	return o
}

// build makes the object of what was read of a segment, as the broker does: every
// batch is checked.
func (o *object) build(j *node.UploadJob, f *storage.SealedFile, b []byte) error {
	u := &j.Segment
	src := segfile.Source{
		Cluster: "sim", Topic: j.Topic, Partition: j.ID, Base: u.Base, End: u.End, Term: u.Term, ID: j.Object,
		Data: bytes.NewReader(b), DataBytes: int64(len(b)), Check: f.Check, Producers: u.Producers,
	}
	for _, e := range u.Epochs {
		src.Epochs = append(src.Epochs, segfile.Epoch{Epoch: e.Epoch, Start: e.Start})
	}
	obj, err := segfile.Build(src, segfile.Options{IndexIntervalBytes: 1 << 10, BlockBytes: segfile.BlockBytesMin})
	if err != nil {
		return err
	}
	o.raw = make([]byte, obj.Size())
	if _, err := obj.ReadAt(o.raw, 0); err != nil {
		return err
	}
	o.data, o.segment = b, obj.Segment
	return nil
}

// built looks at an object that was made, or at why it was not: damage of the disk
// is the only reason, and is always found.
func (c cold) built(o *object, j *node.UploadJob, floor ident.Offset, err error) error {
	s := c.st.s
	if err != nil {
		wrong := errors.Is(err, segfile.ErrDamaged) || errors.Is(err, segfile.ErrSource) || errors.Is(err, partition.ErrDamaged)
		if wrong && !c.b.server.disk.damaged("partitions/"+j.ID.Dir()) {
			s.fail("S5", "%v: the segment [%d, %d) is whole and makes no object: %v", o.id, j.Segment.Base, j.Segment.End, err)
		}
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	s.checkUpload(o, j, floor)
	return nil
}

// index takes down where the batches of an object are. It fails if they are no
// batches.
func (o *object) index() error {
	at := 0
	for raw, err := range record.Batches(o.data) {
		if err != nil {
			return err
		}
		h, err := record.ParseHeader(raw)
		if err != nil {
			return err
		}
		if !record.VerifyCRC(raw) {
			return record.ErrInvalidRecord
		}
		o.batches = append(o.batches, placed{ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset()), at, len(raw)})
		at += len(raw)
	}
	return nil
}
