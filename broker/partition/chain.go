package partition

import (
	"encoding/binary"
	"errors"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// Refusals of topics with a chain, all retriable.
var (
	// ErrChainLoading: the topic's chain changed, and this broker does not run
	// the new one yet.
	ErrChainLoading = errors.New("partition: the topic's plugin chain is being loaded")
	// ErrChainFailed: a plugin of the chain could not be run now.
	ErrChainFailed = errors.New("partition: the topic's plugin chain could not be run")
	// ErrOutboxFull: what the chain emitted waits to be delivered, and there is
	// no room for more.
	ErrOutboxFull = errors.New("partition: the outbox is full, dead letters or routed records wait for their target")
)

// Chain is a topic's chain of plugins, as a partition sees it.
type Chain interface {
	// Run passes one batch through the stages. It may be called on any
	// goroutine and takes as long as the plugins do. The same input gives the
	// same output.
	Run(ChainInput) ChainOutput
}

// ChainInput is one validated batch and its context.
type ChainInput struct {
	Batch     []byte // borrowed
	Header    record.Header
	Time      int64 // the leader's clock, ms
	Seed      uint64
	Partition ident.Partition
	// Generation is that of the topic's chain.
	Generation uint64
}

// ChainOutput is what a chain made of a batch.
type ChainOutput struct {
	// Err refuses the whole batch: nothing is stored and nothing emitted.
	Err error
	// Batch is what is stored, with the offset deltas of the client's batch:
	// the input itself if every record was kept, nil if none was.
	Batch []byte
	// Emissions leave with the batch, encoded (docs/format/emission.md). Each
	// is at most 64 KiB longer than the record that it was made of.
	Emissions [][]byte
}

// Runner performs work that must not hold up the owner.
type Runner func(work func(), done func())

// chainState is how a partition's sequencer runs batches through the topic's
// chain: one at a time, in arrival order (D5).
type chainState struct {
	chain   Chain
	have    uint64 // generation that chain is
	want    uint64 // generation that the metadata asks for
	line    []*Append
	busy    bool // a batch runs
	running *Append
	pumping bool  // pump is on the stack
	emits   int64 // bytes of emissions proposed and not applied
}

// WantChain tells that the metadata asks for another generation of the chain.
// Until SetChain brings it, batches are refused.
func (p *Partition) WantChain(generation uint64) { p.chains.want = max(p.chains.want, generation) }

// SetChain brings a generation of the chain; nil is a topic without one.
// Batches that run through the one before finish there.
func (p *Partition) SetChain(generation uint64, c Chain) {
	if generation >= p.chains.have {
		p.chains.chain, p.chains.have = c, generation
		p.WantChain(generation)
	}
}

// pass puts an admitted batch into the line.
func (p *Partition) pass(a *Append) {
	p.chains.line = append(p.chains.line, a)
	p.pump()
}

// pump runs what stands in line, as far as it can.
func (p *Partition) pump() {
	c := &p.chains
	if c.pumping {
		return
	}
	c.pumping = true
	for (!c.busy || mutant.On(mutant.ChainsSideBySide)) && len(c.line) > 0 {
		a := c.line[0]
		c.line[0] = nil
		c.line = c.line[1:]
		p.runChain(a)
	}
	c.pumping = false
}

// runChain takes the first batch of the line on its way.
func (p *Partition) runChain(a *Append) {
	c := &p.chains
	q := a.sequence()
	if err := p.serving(); err != nil {
		p.turnAway(a, q, err)
		return
	}
	if p.marks.behind(q) { // one before it was refused since this one was admitted
		p.turnAway(a, q, ErrOutOfOrder)
		return
	}
	batch := a.payload()
	if c.chain == nil {
		switch {
		case a.Entry == nil:
			a.Entry = NewEntry(batch, a.Time, c.have, nil)
		case a.Generation != c.have: // the chain changed while it stood in line
			a.regenerate(c.have)
		}
		p.proposeBatch(a, q)
		return
	}
	in := ChainInput{Batch: batch, Header: a.Header, Time: a.Time, Seed: p.c.Entropy(), Partition: p.c.ID, Generation: c.have}
	if mutant.On(mutant.ChainToldNow) {
		in.Time = mutant.Now()
	}
	chain := c.chain
	var out ChainOutput
	var made []byte
	c.busy, c.running = true, a
	p.c.Run(func() {
		if mutant.On(mutant.MixedGenerations) && c.chain != nil {
			chain = c.chain
		}
		if out = chain.Run(in); out.Err == nil {
			made = newChained(in, out)
		}
	}, func() {
		c.busy, c.running = false, nil
		p.chained(a, q, out, made)
		p.pump()
	})
}

// chained proposes what the chain made of a batch.
func (p *Partition) chained(a *Append, q sequence, out ChainOutput, made []byte) {
	var emits int64
	for _, e := range out.Emissions {
		emits += int64(len(e)) + outboxItemBytes
	}
	if a.late {
		p.outrun(a)
		return
	}
	err := p.serving()
	switch {
	case err != nil:
	case p.marks.behind(q): // one before it was refused while this one ran
		err = ErrOutOfOrder
	case out.Err != nil:
		err = out.Err
	case emits > 0 && p.outbox.bytes+p.chains.emits > 0 && p.outbox.bytes+p.chains.emits+emits > p.c.OutboxBytesMax:
		err = ErrOutboxFull
	case emits > 0 && p.c.OutboxRoom != nil:
		err = p.c.OutboxRoom(emits)
	}
	if err != nil {
		p.turnAway(a, q, err)
		return
	}
	a.Entry, a.Batch = made, nil
	a.emits = emits
	p.chains.emits += emits
	p.proposeBatch(a, q)
}

// turnAway refuses a batch that was admitted.
func (p *Partition) turnAway(a *Append, q sequence, err error) {
	p.landed(a)
	p.refuse(a, q, err)
}

// overtake sees to it that what was admitted behind a producer's marked batch
// does not pass it, now that the batch, or a newer epoch, is here and the mark
// is lifted.
func (p *Partition) overtake(id int64, m mark) {
	c := &p.chains
	if f := p.flight[id]; f != nil {
		for _, a := range f.batches {
			a.late = a.late || a.sequence().follows(id, m)
		}
	}
	var kept, late []*Append
	for _, a := range c.line {
		if a.sequence().follows(id, m) {
			late = append(late, a)
		} else {
			kept = append(kept, a)
		}
	}
	c.line = kept
	for _, a := range late {
		p.outrun(a)
	}
}

// outrun refuses a batch whose mark would hold up what comes in order behind
// the batch that overtook it.
func (p *Partition) outrun(a *Append) {
	p.landed(a)
	a.finish(ErrOutOfOrder)
}

// disband refuses everything that stands in line.
func (p *Partition) disband(err error) {
	line := p.chains.line
	p.chains.line = nil
	for _, a := range line {
		p.turnAway(a, a.sequence(), err)
	}
}

// payload returns the batch of an append that has not passed a chain.
func (a *Append) payload() []byte {
	if a.Batch != nil {
		return a.Batch
	}
	return a.Entry[entry.HeaderBytes+batchHeader:]
}

// chainedHeader is the header of a chained batch's entry.
const chainedHeader = 8 + 8 + 8 + 2 + 4 + 4 + 4 + 4 + 1

// chained is a chained batch's entry, decoded.
type chained struct {
	generation, seed uint64
	sequence         sequence
	span             int32 // last offset delta of the client's batch
	stored           []byte
	emissions        [][]byte
}

// newChained builds the entry of a batch that passed a chain. The producer's
// identity and the span are the client's: what is stored may end earlier, or be
// nothing.
func newChained(in ChainInput, out ChainOutput) []byte {
	n := len(out.Batch)
	for _, e := range out.Emissions {
		n += 4 + len(e)
	}
	b, h, p := entry.New(entry.Chained, in.Time, chainedHeader, n)
	le := binary.LittleEndian
	le.PutUint64(h, in.Generation)
	le.PutUint64(h[8:], in.Seed)
	le.PutUint64(h[16:], uint64(in.Header.ProducerID))
	le.PutUint16(h[24:], uint16(in.Header.ProducerEpoch))
	le.PutUint32(h[26:], uint32(in.Header.BaseSequence))
	le.PutUint32(h[30:], uint32(in.Header.LastOffsetDelta))
	le.PutUint32(h[34:], uint32(len(out.Batch)))
	le.PutUint32(h[38:], uint32(len(out.Emissions)))
	at := copy(p, out.Batch)
	for _, e := range out.Emissions {
		le.PutUint32(p[at:], uint32(len(e)))
		at += 4 + copy(p[at+4:], e)
	}
	entry.Seal(b)
	return b
}

func decodeChained(d entry.Entry) (chained, error) {
	var c chained
	h, b := d.Header, d.Payload
	if len(h) != chainedHeader {
		return c, errState
	}
	le := binary.LittleEndian
	c.generation, c.seed = le.Uint64(h), le.Uint64(h[8:])
	c.span = int32(le.Uint32(h[30:]))
	client := record.Header{ProducerID: int64(le.Uint64(h[16:])), ProducerEpoch: int16(le.Uint16(h[24:])),
		BaseSequence: int32(le.Uint32(h[26:])), LastOffsetDelta: c.span}
	c.sequence = sequence{id: client.ProducerID, epoch: client.ProducerEpoch, first: client.BaseSequence, last: client.LastSequence()}
	n, count := int64(le.Uint32(h[34:])), int(le.Uint32(h[38:]))
	if c.span < 0 || n > int64(len(b)) || count > len(b)/4 {
		return c, errState
	}
	c.stored, b = b[:n:n], b[n:]
	for range count {
		if len(b) < 4 || int64(le.Uint32(b)) > int64(len(b)-4) {
			return c, errState
		}
		k := 4 + int(le.Uint32(b))
		c.emissions, b = append(c.emissions, b[4:k:k]), b[k:]
	}
	if len(b) != 0 {
		return c, errState
	}
	return c, nil
}
