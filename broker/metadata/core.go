package metadata

import (
	"fmt"
	"sync/atomic"
)

// Core applies group 0's entries. See the package for who may call what.
type Core struct {
	image   atomic.Pointer[Image]
	applied uint64 // index of the last entry, refused ones included
	term    uint64 // its term
}

// ProducerIDBlock is a run of producer ids: First, First+1, … Count of them.
type ProducerIDBlock struct {
	First int64
	Count int32
}

// Result is what became of one entry.
type Result struct {
	// Err is nil, a refusal, or wraps ErrDamaged: then nothing was applied, the
	// applied index did not move, and the caller parks the group.
	Err error
	// Deltas is empty if nothing changed, and for AllocateProducerIDs.
	Deltas []Delta
	// Version is the image's version after the entry.
	Version uint64
	// Topic is the topic that was created, changed or, as it last was, deleted.
	Topic *Topic
	// ProducerIDs is the block that AllocateProducerIDs took.
	ProducerIDs ProducerIDBlock
}

// New returns the core of a new cluster, whose image is empty. An empty
// clusterID is filled in by Restore; one above MaxClusterID is ErrBound.
func New(clusterID string) (*Core, error) {
	if len(clusterID) > MaxClusterID {
		return nil, fmt.Errorf("%w: cluster id of %d bytes, at most %d", ErrBound, len(clusterID), MaxClusterID)
	}
	c := &Core{}
	c.image.Store(newImage(clusterID))
	return c, nil
}

// Image returns the current image. Any goroutine may call it.
func (c *Core) Image() *Image { return c.image.Load() }

// Applied returns index and term of the last entry that Apply took, or that the
// restored checkpoint contains; zeros if there is none.
func (c *Core) Applied() (index, term uint64) { return c.applied, c.term }

// Apply applies one committed entry. Entries of the log that carry no data, and
// changes of group 0's own members, are not passed to it, so indexes may have
// gaps; index must rise and term must not fall. It keeps no reference to data.
func (c *Core) Apply(index, term uint64, data []byte) Result {
	old := c.image.Load()
	if index <= c.applied || term < c.term {
		return Result{Version: old.version, Err: fmt.Errorf("%w: index %d term %d after index %d term %d",
			ErrDamaged, index, term, c.applied, c.term)}
	}
	cmd, err := Decode(data)
	if err != nil {
		return Result{Version: old.version, Err: fmt.Errorf("%w: index %d: %w", ErrDamaged, index, err)}
	}
	c.applied, c.term = index, term
	ch := newChange(old, index)
	if err := ch.run(cmd); err != nil {
		return Result{Version: old.version, Err: err}
	}
	if ch.changed {
		c.image.Store(ch.next)
	}
	ch.result.Version = c.image.Load().version
	return ch.result
}

// change is one command in progress. next starts as a copy of the old image,
// shares everything with it, and is thrown away if the command is refused.
type change struct {
	next    *Image
	index   uint64
	changed bool
	result  Result
}

func newChange(old *Image, index uint64) *change {
	next := *old
	return &change{next: &next, index: index}
}

// run applies the command to next.
func (c *change) run(cmd Command) error {
	if v := cmd.expect(); v > c.next.version {
		return fmt.Errorf("%w: version %d expected at version %d", ErrConflict, v, c.next.version)
	}
	if err := cmd.apply(c); err != nil {
		return err
	}
	if c.changed {
		c.next.version = c.index
	}
	return nil
}

// emit marks the image as changed and adds deltas.
func (c *change) emit(d ...Delta) {
	c.changed = true
	c.result.Deltas = append(c.result.Deltas, d...)
}

// conflict returns ErrConflict if the command expects a version and the object,
// last changed at index changed, is newer than it.
func conflict(cmd Command, changed uint64) error {
	if v := cmd.expect(); v != 0 && changed > v {
		return fmt.Errorf("%w: changed at %d, expected %d", ErrConflict, changed, v)
	}
	return nil
}
