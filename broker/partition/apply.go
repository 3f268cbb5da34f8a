package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// Reasons of a log start entry.
const (
	reasonRetention     = 1
	reasonDeleteRecords = 2
)

// Apply implements replog.Machine. It is deterministic (P1). An entry that
// cannot be applied changes nothing.
func (p *Partition) Apply(e replog.Entry) error {
	err := p.apply(e)
	if err == nil {
		invariant.Costly(p.consistent)
	}
	return err
}

func (p *Partition) apply(e replog.Entry) error {
	if len(e.Data) == 0 {
		return nil
	}
	parse := entry.Parse
	if e.Token != nil { // proposed here, a moment ago
		parse = entry.ParseOwn
	}
	d, err := parse(e.Data)
	if err != nil {
		return err
	}
	switch d.Kind {
	case entry.Batch:
		a, _ := e.Token.(*Append)
		return p.applyBatch(e, d, a)
	case entry.Chained:
		a, _ := e.Token.(*Append)
		return p.applyChained(e, d, a)
	case entry.Emitted:
		return p.applyEmitted(e, d)
	case entry.OutboxTrim:
		if err := p.applyTrim(d); err != nil {
			return err
		}
	case entry.ForgetOrigin:
		if err := p.applyForget(d); err != nil {
			return err
		}
	case entry.LogStart:
		return p.applyStart(d, e.Token)
	case entry.Roll:
		if len(d.Header) != 0 || len(d.Payload) != 0 {
			return errState
		}
		p.log.Roll()
	case entry.TierCommit:
		return p.applyTierCommit(d, e.Token)
	case entry.LocalStart:
		if err := p.applyLocalStart(d); err != nil {
			return err
		}
	case entry.TierTrim:
		if err := p.applyTierTrim(d); err != nil {
			return err
		}
	case entry.TierDrop:
		if err := p.applyTierDrop(d); err != nil {
			return err
		}
	case entry.Settings:
		return p.applySettings(d, e.Token)
	case entry.ProducerExpiry:
		if len(d.Header) != 8 || len(d.Payload) != 0 {
			return errState
		}
		p.marks.settle(p.producers.passed) // which nobody could tell any more
		p.producers.expire(int64(binary.LittleEndian.Uint64(d.Header)))
	default:
		return fmt.Errorf("%w: unknown %v", errState, d.Kind)
	}
	p.settled(e.Token)
	return nil
}

// applyBatch gives a batch its offsets. A refusal is the same on every replica
// and changes nothing.
func (p *Partition) applyBatch(e replog.Entry, d entry.Entry, a *Append) error {
	if len(d.Header) != batchHeader {
		return errState
	}
	h, err := record.ParseHeader(d.Payload)
	if err != nil {
		return err
	}
	q := sequence{id: h.ProducerID, epoch: h.ProducerEpoch, first: h.BaseSequence, last: h.LastSequence()}
	generation := binary.LittleEndian.Uint64(d.Header)
	v, err := p.decide(q, generation, d.Header[batchHeader-1])
	if err != nil {
		return err
	}
	if v.err != nil || v.duplicate {
		p.answer(a, v.batch.base, v.duplicate, v.err)
		return nil
	}
	base := p.log.End()
	if err := p.appendBatch(base, ident.Epoch(e.Term), h, d.Payload); err != nil {
		return err
	}
	p.generation = generation
	p.producers.add(q, base, p.log.End()-1, d.Time)
	p.answer(a, base, false, nil)
	p.wake()
	return nil
}

// decide says whether a batch is new, a duplicate, or refused.
func (p *Partition) decide(q sequence, generation uint64, flags byte) (verdict, error) {
	if flags&^continues != 0 {
		return verdict{}, errState
	}
	v := p.producers.judge(q)
	switch {
	case generation < p.generation && !mutant.On(mutant.ChainsSideBySide):
		v = verdict{err: ErrStaleChain}
	case v.err == nil && flags&continues != 0 && p.producers.byID[q.id] == nil:
		v = verdict{err: fmt.Errorf("%w: producer %d had a batch before sequence %d, which was lost", ErrOutOfOrder, q.id, q.first)}
	}
	return v, nil
}

// appendBatch puts a batch into the log.
func (p *Partition) appendBatch(base ident.Offset, epoch ident.Epoch, h record.Header, batch []byte) error {
	// The epoch is known before the batch can be read, so that no reader sees
	// the epoch before it end behind its last batch.
	known := p.epochs.Load()
	if es := known.note(epoch, base); es.newest() != known.newest() {
		p.epochs.Store(&es)
	}
	if err := p.log.Append(base, base+ident.Offset(h.LastOffsetDelta), epoch, h.MaxTimestamp, batch); err != nil {
		p.epochs.Store(known)
		return err
	}
	if mutant.On(mutant.ClockAtApply) && mutant.Now()%8 == 0 {
		p.log.Roll()
	}
	return nil
}

// applyChained gives a batch that passed a chain its offsets. They are spent for
// every record of the client's batch, kept or not (D5a), and what the chain
// emitted goes to the outbox with it: both or neither.
func (p *Partition) applyChained(e replog.Entry, d entry.Entry, a *Append) error {
	c, err := decodeChained(d)
	if err != nil {
		return err
	}
	var h record.Header
	if len(c.stored) > 0 {
		if h, err = record.ParseHeader(c.stored); err != nil {
			return err
		}
		if h.LastOffsetDelta > c.span || h.Size() != len(c.stored) || h.Count < 1 {
			return fmt.Errorf("%w: a stored batch of %d offsets in a span of %d", errState, h.LastOffsetDelta, c.span)
		}
	}
	v, err := p.decide(c.sequence, c.generation, d.Header[chainedHeader-1])
	if err != nil {
		return err
	}
	if v.err != nil || v.duplicate {
		if mutant.On(mutant.RefusedLetter) {
			p.outbox.add(p.log.End(), d.Time, c.emissions)
		}
		p.answer(a, v.batch.base, v.duplicate, v.err)
		return nil
	}
	base := p.log.End()
	if len(c.stored) > 0 {
		if err := p.appendBatch(base, ident.Epoch(e.Term), h, c.stored); err != nil {
			return err
		}
	}
	end := base + ident.Offset(c.span) + 1
	p.log.SetEnd(end)
	p.generation = c.generation
	p.outbox.add(base, d.Time, c.emissions)
	p.producers.add(c.sequence, base, end-1, d.Time)
	p.answer(a, base, false, nil)
	p.wake()
	return nil
}

// answer tells the proposer of an applied batch what became of it.
func (p *Partition) answer(a *Append, base ident.Offset, duplicate bool, err error) {
	if a == nil {
		return
	}
	p.landed(a)
	if mutant.On(mutant.WrongOffsetTold) && base > 0 {
		base--
	}
	a.Base, a.LogStart, a.Duplicate = base, p.log.Start(), duplicate
	a.finish(err)
}

func (p *Partition) applyStart(d entry.Entry, token any) error {
	if len(d.Header) != 9 || len(d.Payload) != 0 {
		return errState
	}
	p.log.AdvanceStart(ident.Offset(binary.LittleEndian.Uint64(d.Header)))
	p.started(d.Time)
	if mutant.On(mutant.UnlinkEarly) {
		for _, g := range p.log.TakeGarbage() {
			_ = g.Remove(p.c.FS)
		}
	}
	if r, ok := token.(*StartRequest); ok {
		r.finish(p.log.Start(), nil)
	}
	p.settled(token)
	return nil
}

func (p *Partition) applySettings(d entry.Entry, token any) error {
	s, rest, err := decodeSettings(d.Payload)
	if err != nil || len(rest) != 0 || len(d.Header) != 0 {
		return fmt.Errorf("settings entry: %w", errState)
	}
	if mutant.On(mutant.SettingsReadAtApply) {
		s = p.desired
	}
	p.settings = s
	p.log.SetSettings(s.storage())
	p.settled(token)
	return nil
}
