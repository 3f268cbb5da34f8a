package partition

import (
	"errors"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// Offsets are a partition's borders at one moment.
type Offsets struct {
	LogStart      ident.Offset // first record, here or in the tier
	LocalStart    ident.Offset // first record that may be here
	LastStable    ident.Offset // read_committed ends here
	HighWatermark ident.Offset // every reader ends here
	LeaderEpoch   ident.Epoch
}

// Offsets returns the borders, or why the partition does not serve. Any
// goroutine may call it.
func (p *Partition) Offsets() (Offsets, error) {
	if err := p.serving(); err != nil {
		return Offsets{}, err
	}
	// In this order none can pass the next while the owner applies.
	o := Offsets{LogStart: p.log.Start(), LocalStart: p.log.LocalStart(), LeaderEpoch: p.LeaderEpoch()}
	o.HighWatermark = p.log.End()
	o.LastStable = o.HighWatermark
	return o, nil
}

// Leads reports whether this replica serves clients. Any goroutine may call it.
func (p *Partition) Leads() bool { return p.serving() == nil }

// LeaderEpoch returns the epoch under which this replica leads, -1 before it
// does. Any goroutine may call it.
func (p *Partition) LeaderEpoch() ident.Epoch { return ident.Epoch(p.epoch.Load()) }

// ID returns which partition this is.
func (p *Partition) ID() ident.Partition { return p.c.ID }

// Read returns whole batches from an offset on, below until, at most maxBytes
// of them but at least one if minOne (KIP-74). It fails with ErrTiered where the
// log begins in the cold tier and the offset is not on the local disk any more.
// It blocks on disk. Any goroutine may call it.
func (p *Partition) Read(from, until ident.Offset, maxBytes int, minOne bool) (storage.Chunk, error) {
	if err := p.serving(); err != nil {
		return storage.Chunk{}, err
	}
	if !p.enter() {
		return storage.Chunk{}, ErrNotLeader
	}
	defer p.leave()
	if from < p.log.Start() || from > p.log.End() {
		return storage.Chunk{}, ErrOffsetOutOfRange
	}
	c, err := p.log.Read(from, until, maxBytes, minOne)
	if from < p.log.Start() { // meanwhile: epochs below it may not be known any more
		return storage.Chunk{}, ErrOffsetOutOfRange
	}
	if errors.Is(err, storage.ErrBelowStart) {
		return c, ErrTiered
	}
	return c, readError(err)
}

// readError names a read's failure in this package's terms.
func readError(err error) error {
	switch {
	case errors.Is(err, storage.ErrBelowStart), errors.Is(err, storage.ErrBeyondEnd):
		return ErrOffsetOutOfRange
	case errors.Is(err, storage.ErrDamaged):
		return errors.Join(ErrDamaged, err)
	}
	return err
}

// OffsetForTimestamp returns the first record whose timestamp is at or above ts,
// with its timestamp and leader epoch; found is false if there is none. It
// blocks on disk. Any goroutine may call it.
func (p *Partition) OffsetForTimestamp(ts int64) (o ident.Offset, at int64, epoch ident.Epoch, found bool, err error) {
	if err := p.serving(); err != nil {
		return -1, -1, -1, false, err
	}
	if !p.enter() {
		return -1, -1, -1, false, ErrNotLeader
	}
	defer p.leave()
	o, at, found, err = p.log.OffsetForTimestamp(ts, p.log.End())
	return o, at, p.epochs.Load().at(o), found, readError(err)
}

// MaxTimestamp returns the record with the highest timestamp (ListOffsets -3).
// It blocks on disk. Any goroutine may call it.
func (p *Partition) MaxTimestamp() (o ident.Offset, at int64, epoch ident.Epoch, found bool, err error) {
	if err := p.serving(); err != nil {
		return -1, -1, -1, false, err
	}
	if !p.enter() {
		return -1, -1, -1, false, ErrNotLeader
	}
	defer p.leave()
	o, at, found, err = p.log.MaxTimestamp(p.log.End())
	return o, at, p.epochs.Load().at(o), found, readError(err)
}

// enter begins a read of the log, unless the partition is closed.
func (p *Partition) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.readers++
	return true
}

// leave ends a read. The last one out of a closed partition closes the log.
func (p *Partition) leave() {
	p.mu.Lock()
	p.readers--
	last := p.closed && p.readers == 0
	p.mu.Unlock()
	if last {
		p.log.Close()
	}
}

// EpochAt returns the leader epoch of the batch that holds an offset, -1 if it
// is not known. Any goroutine may call it.
func (p *Partition) EpochAt(o ident.Offset) ident.Epoch { return p.epochs.Load().at(o) }

// EpochEnd answers OffsetForLeaderEpoch (KIP-320): the largest known epoch not
// above the one asked for and its end offset, -1 and -1 if there is none. Any
// goroutine may call it.
func (p *Partition) EpochEnd(asked ident.Epoch) (ident.Epoch, ident.Offset, error) {
	if err := p.serving(); err != nil {
		return -1, -1, err
	}
	end := p.log.End() // before the epochs, which are never behind it
	e, o := p.epochs.Load().end(asked, p.LeaderEpoch(), end)
	return e, o, nil
}

// Size returns the bytes of the log on this broker. Any goroutine may call it.
func (p *Partition) Size() int64 { return p.log.Size() }

// Watcher is told that something happened: the high watermark or the log start
// moved, or the replica began or ceased to serve.
type Watcher interface {
	// Notify must not block, and must not call the partition.
	Notify()
}

// Watch registers w until the next event or Unwatch. Any goroutine may call it.
// To miss nothing, look at the partition again after Watch.
func (p *Partition) Watch(w Watcher) {
	p.mu.Lock()
	p.watch[w] = struct{}{}
	p.mu.Unlock()
}

// Unwatch ends a registration.
func (p *Partition) Unwatch(w Watcher) {
	p.mu.Lock()
	if !mutant.On(mutant.WatcherKept) {
		delete(p.watch, w)
	}
	p.mu.Unlock()
}

// Watchers returns how many watchers are registered. Any goroutine may call it.
func (p *Partition) Watchers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watch)
}

// wake notifies and forgets every watcher.
func (p *Partition) wake() {
	p.mu.Lock()
	if len(p.watch) == 0 {
		p.mu.Unlock()
		return
	}
	woken := make([]Watcher, 0, len(p.watch))
	for w := range p.watch { // order: each is told, in no order
		woken = append(woken, w)
	}
	clear(p.watch)
	p.mu.Unlock()
	for _, w := range woken {
		w.Notify()
	}
}
