package partition

import (
	"encoding/binary"
	"errors"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// Append is one batch on its way into the log, and then its outcome.
type Append struct {
	// Entry is what NewEntry made of the batch with Generation. It must not
	// change any more. For a topic with a chain it is nil, and Batch is the
	// batch itself, owned by the Append, and Time the leader's clock in ms.
	Entry []byte
	Batch []byte
	Time  int64
	// Generation is that of the topic's chain when the batch was prepared.
	Generation uint64
	// Header is the batch's header as validated.
	Header record.Header
	// Done is called once, on the partition's owner, when the outcome is
	// known. It must not block.
	Done func(*Append)

	// The outcome.
	Err       error
	Base      ident.Offset // of the batch's first record
	LogStart  ident.Offset
	Duplicate bool

	same     []*Append // duplicates that wait for this one
	answered bool
	late     bool  // the one before it was refused and comes again, behind it
	size     int64 // admitted with
	emits    int64 // bytes of its emissions
}

// batchHeader is the header of a batch's entry: chain generation, flags.
const batchHeader = 8 + 1

// continues, in the flags that end the header of a batch's entry, says that the
// producer had an earlier batch in flight when this one was proposed. Should that
// one be lost, this one must not be taken for the first of a producer that is
// not known here, which may begin at any sequence (L5, L6).
const continues = 1

// NewEntry copies a validated batch into a new entry. time is the leader's
// clock in ms. patch, if not nil, may change the copy before it is sealed
// (LogAppendTime, maximum timestamp). It may be called on any goroutine.
func NewEntry(batch []byte, time int64, generation uint64, patch func(batch []byte)) []byte {
	b, h, p := entry.New(entry.Batch, time, batchHeader, len(batch))
	binary.LittleEndian.PutUint64(h, generation)
	copy(p, batch)
	if mutant.On(mutant.BatchRewritten) {
		_ = record.SetTimestamps(p, record.CreateTime, time)
	}
	if patch != nil {
		patch(p)
	}
	entry.Seal(b)
	return b
}

// NewAppend returns the append of one uncompressed batch of the broker's own
// records, whose offset deltas it sets. now is in ms.
func NewAppend(records []record.Record, now int64) (*Append, error) {
	b := record.NewBuilder(record.DefaultParams(record.None, now))
	for i := range records {
		records[i].OffsetDelta = int32(i)
		if err := b.Append(&records[i]); err != nil {
			return nil, err
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		return nil, err
	}
	h, err := record.ParseHeader(batch)
	if err != nil {
		return nil, err
	}
	return &Append{Entry: NewEntry(batch, now, 0, nil), Header: h}, nil
}

// regenerate sets the generation of an entry that nobody else has seen yet.
func (a *Append) regenerate(generation uint64) {
	a.Generation = generation
	binary.LittleEndian.PutUint64(a.Entry[entry.HeaderBytes:], generation)
	entry.Seal(a.Entry)
}

// markContinues sets the flag in an entry that nobody else has seen yet.
func (a *Append) markContinues() {
	header := batchHeader
	if entry.Kind(a.Entry[1]) == entry.Chained {
		header = chainedHeader
	}
	a.Entry[entry.HeaderBytes+header-1] |= continues
	entry.Seal(a.Entry)
}

// time returns the time of the batch's entry, also of one that is not made yet.
func (a *Append) time() int64 {
	if a.Entry == nil {
		return a.Time
	}
	return entry.TimeOf(a.Entry)
}

func (a *Append) sequence() sequence {
	return sequence{id: a.Header.ProducerID, epoch: a.Header.ProducerEpoch, first: a.Header.BaseSequence, last: a.Header.LastSequence()}
}

func (a *Append) finish(err error) {
	a.Err, a.answered = err, true
	a.Done(a)
	for _, d := range a.same {
		d.Base, d.LogStart, d.Duplicate, d.Err = a.Base, a.LogStart, err == nil, err
		d.Done(d)
	}
	a.same = nil
}

// inflight are a producer's batches that are proposed and not applied.
type inflight struct {
	epoch   int16
	batches []*Append
}

// Produce takes a batch in arrival order. The outcome comes through a.Done,
// perhaps before Produce returns.
func (p *Partition) Produce(a *Append) {
	q := a.sequence()
	if err := p.serving(); err != nil {
		p.mark(q) // it may lead before the producer's next batch is here
		a.finish(err)
		return
	}
	if q.id >= 0 && p.sequenced(a, q) {
		return
	}
	if p.chains.have != p.chains.want || a.Generation > p.chains.want {
		p.refuse(a, q, ErrChainLoading)
		return
	}
	a.size = int64(len(a.Entry) + len(a.Batch))
	if p.queued > 0 && p.queued+a.size > p.c.QueueBytesMax {
		p.refuse(a, q, ErrQueueFull)
		return
	}
	p.queued += a.size
	if q.id >= 0 {
		f := p.flight[q.id]
		if f == nil || f.epoch != q.epoch {
			f = &inflight{epoch: q.epoch}
			p.flight[q.id] = f
		}
		f.batches = append(f.batches, a)
	}
	if a.Entry != nil && a.Generation < p.chains.have && p.chains.chain == nil && !mutant.On(mutant.GenerationBack) {
		// Prepared before the chain was detached: it has seen no chain, which
		// is what holds now.
		a.regenerate(p.chains.have)
	}
	if p.chains.chain != nil || p.chains.busy || len(p.chains.line) > 0 || a.Entry == nil {
		p.pass(a)
		return
	}
	p.proposeBatch(a, q)
}

// proposeBatch proposes an admitted batch.
func (p *Partition) proposeBatch(a *Append, q sequence) {
	// So is one that may be forgotten by an entry that is in flight.
	unknown := p.producers.byID[q.id] == nil || p.expiring
	if q.id >= 0 && unknown && p.flight[q.id].batches[0] != a {
		a.markContinues()
	}
	if err := p.c.Log.Propose(a.Entry, a, false); err != nil {
		p.turnAway(a, q, proposeError(err))
	}
}

// sequenced answers an idempotent producer's batch that need not be proposed,
// and reports whether it did.
func (p *Partition) sequenced(a *Append, q sequence) bool {
	f := p.flight[q.id]
	if f != nil && f.epoch > q.epoch {
		a.finish(ErrFenced)
		return true
	}
	if b := p.original(q); b != nil && !mutant.On(mutant.ProposedTwice) {
		b.same = append(b.same, a)
		return true
	}
	v := p.producers.judge(q)
	switch {
	case v.duplicate:
		a.Base, a.LogStart, a.Duplicate = v.batch.base, p.log.Start(), true
		a.finish(nil)
		return true
	case v.err != nil && errors.Is(v.err, ErrFenced):
		a.finish(v.err)
		return true
	}
	// A gap against applied state is judged at apply: a healthy pipeline has
	// the batches before this one in flight.
	m, marked := p.marks.byID[q.id]
	if marked && p.producers.passed(q.id, m) {
		p.marks.lift(q.id) // the marked batch came in through another leader
		marked = false
	}
	if p.marks.refuses(q) && !mutant.On(mutant.MarksIgnored) {
		a.finish(ErrOutOfOrder)
		return true
	}
	if _, stays := p.marks.byID[q.id]; marked && !stays {
		p.overtake(q.id, m)
	}
	return false
}

// original returns the batch in flight that has the same sequences, or nil. One
// that is late will be refused: its retry, which comes in order, is another.
func (p *Partition) original(q sequence) *Append {
	f := p.flight[q.id]
	if f == nil || f.epoch != q.epoch {
		return nil
	}
	for _, b := range f.batches {
		if s := b.sequence(); s.first == q.first && s.last == q.last && !b.late {
			return b
		}
	}
	return nil
}

// refuse answers a batch that is not proposed, and marks it (P3).
func (p *Partition) refuse(a *Append, q sequence, err error) {
	p.mark(q)
	a.finish(err)
}

// mark marks a refused batch. An older mark whose batch was appended after all
// marks nothing any more.
func (p *Partition) mark(q sequence) {
	if m, ok := p.marks.byID[q.id]; ok && p.producers.passed(q.id, m) {
		p.marks.lift(q.id)
	}
	p.marks.add(q)
}

// Refused tells the sequencer that a batch was refused before it reached
// Produce, so that later ones of its producer do not pass it (P3). A retry of a
// batch that is in flight leaves no mark: nothing can pass it.
func (p *Partition) Refused(h record.Header) {
	q := sequence{id: h.ProducerID, epoch: h.ProducerEpoch, first: h.BaseSequence, last: h.LastSequence()}
	if p.original(q) == nil {
		p.mark(q)
	}
}

// landed takes a batch out of what is in flight.
func (p *Partition) landed(a *Append) {
	p.queued -= a.size
	p.chains.emits -= a.emits
	id := a.Header.ProducerID
	f := p.flight[id]
	if f == nil {
		return
	}
	for i, b := range f.batches {
		if b == a {
			f.batches = append(f.batches[:i], f.batches[i+1:]...)
			break
		}
	}
	if len(f.batches) == 0 {
		delete(p.flight, id)
	}
}

// Dropped implements replog.Machine.
func (p *Partition) Dropped(token any, err error) {
	switch t := token.(type) {
	case *Append:
		if t.answered { // its Apply failed behind the answer
			return
		}
		p.landed(t)
		if mutant.On(mutant.DroppedUnanswered) {
			return
		}
		if t.late { // its retry stands behind the batch that this one would be a gap to
			t.finish(proposeError(err))
			return
		}
		p.refuse(t, t.sequence(), proposeError(err))
	case *StartRequest:
		t.finish(p.log.Start(), proposeError(err))
	case *Delivery:
		t.Done(0, proposeError(err))
	case *commitToken:
		p.committing = false
		t.done(false, proposeError(err))
	case internalToken, forgetToken:
		p.settled(t)
	}
}

// proposeError names a proposal's failure in this package's terms.
func proposeError(err error) error {
	switch {
	case errors.Is(err, replog.ErrNoSpace), errors.Is(err, replog.ErrBusy):
		if mutant.On(mutant.NoSpaceForGood) {
			return record.ErrTooLarge
		}
		return ErrNoSpace
	case errors.Is(err, replog.ErrFailed):
		return err // the disk failed, which is no damage of this partition
	case errors.Is(err, replog.ErrParked):
		return ErrDamaged
	case errors.Is(err, replog.ErrNotLeader), errors.Is(err, replog.ErrUnknownGroup):
		return ErrNotLeader
	}
	return err
}
