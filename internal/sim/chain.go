package sim

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// errLoad is a chain that cannot be loaded now.
var errLoad = errors.New("sim: the chain cannot be loaded")

// letterPrefix begins the names of dead-letter topics.
const letterPrefix = "dlq."

// goChain is a topic's chain, in Go: what becomes of a record is a function of
// its value and the chain's generation.
type goChain struct {
	s          *run
	topic      string
	generation uint64
}

// verdict is what a chain makes of one record.
type verdict int

const (
	keep verdict = iota
	replace
	drop
	dead
	reject // the whole batch
)

// decide judges one record of a batch of so many.
func decide(value []byte, generation uint64, of int) verdict {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, generation))
	h.Write(value)
	switch n := h.Sum64() >> 20 % 100; {
	case n < 60:
		return keep
	case n < 72:
		return replace
	case n < 85:
		return drop
	case n == 99 && of > 1: // one alone can always be stored some time
		return reject
	}
	return dead
}

// made is what one generation makes of a batch.
type made struct {
	rejected bool
	stored   []byte
	sum      uint64
	dead     []int // records that leave as dead letters
}

// transform is what a chain of a generation makes of a batch.
func transform(batch []byte, h record.Header, generation uint64) made {
	var m made
	params := record.DefaultParams(record.None, h.BaseTimestamp)
	params.ProducerID, params.ProducerEpoch, params.BaseSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	b := record.NewBuilder(params)
	kept, same := 0, true
	err := record.ForEach(batch, 0, func(r *record.Record) error {
		v := decide(r.Value, generation, int(h.Count))
		same = same && v == keep
		switch v {
		case replace:
			r.Value = binary.LittleEndian.AppendUint64(slices.Clone(r.Value), generation)
		case drop:
			return nil
		case dead:
			m.dead = append(m.dead, int(r.OffsetDelta))
			return nil
		case reject:
			m.rejected = true
			return nil
		}
		kept++
		return b.Append(r)
	})
	switch {
	case m.rejected:
		m.dead = nil
		return m
	case same:
		m.stored = batch
	case kept > 0 && err == nil:
		m.stored, err = b.Finish(-1)
	}
	if err != nil {
		panic(err)
	}
	if m.stored != nil {
		m.sum = sumOf(m.stored)
	}
	return m
}

// Run implements partition.Chain.
func (c *goChain) Run(in partition.ChainInput) partition.ChainOutput {
	if in.Generation != c.generation {
		c.s.fail("W6", "a batch of %s runs through generation %d as one of %d", c.topic, c.generation, in.Generation)
	}
	c.s.checkInput(c.topic, in)
	m := transform(in.Batch, in.Header, in.Generation)
	if m.rejected {
		return partition.ChainOutput{Err: record.ErrInvalidRecord}
	}
	out := partition.ChainOutput{Batch: m.stored}
	err := record.ForEach(in.Batch, 0, func(r *record.Record) error {
		if slices.Contains(m.dead, int(r.OffsetDelta)) {
			e := append([]byte{byte(len(c.topic))}, c.topic...)
			e = binary.LittleEndian.AppendUint32(e, uint32(r.OffsetDelta))
			e = binary.LittleEndian.AppendUint64(e, c.generation)
			out.Emissions = append(out.Emissions, append(e, r.Value...))
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return out
}

// letter is the value of a record in a dead-letter topic, decoded.
type letter struct {
	from       ident.Partition
	offset     ident.Offset // of the record
	generation uint64
	delta      int
	value      []byte
}

const letterHeader = 16 + 4 + 8 + 8 + 4

func parseLetter(b []byte) (letter, bool) {
	if len(b) < letterHeader+4 {
		return letter{}, false
	}
	le := binary.LittleEndian
	return letter{
		from:   ident.Partition{Topic: ident.TopicID(b[:16]), Index: int32(le.Uint32(b[16:]))},
		offset: ident.Offset(le.Uint64(b[20:])), generation: le.Uint64(b[28:]), delta: int(le.Uint32(b[36:])), value: b[letterHeader:],
	}, true
}

// letters implements node.Letters.
type letters struct{}

// Target implements node.Letters.
func (letters) Target(e []byte) (string, error) { return letterPrefix + string(e[1:1+e[0]]), nil }

// Build implements node.Letters.
func (letters) Build(o node.Origin, es []partition.Emission, now int64) ([]byte, error) {
	b := record.NewBuilder(record.DefaultParams(record.None, now))
	le := binary.LittleEndian
	for i, e := range es {
		rest := e.Data[1+e.Data[0]:]
		delta, generation := le.Uint32(rest), le.Uint64(rest[4:])
		v := append([]byte(nil), o.Partition.Topic[:]...)
		v = le.AppendUint32(v, uint32(o.Partition.Index))
		v = le.AppendUint64(v, uint64(e.Base)+uint64(delta))
		v = le.AppendUint64(v, generation)
		v = le.AppendUint32(v, delta)
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: append(v, rest[12:]...)}); err != nil {
			return nil, err
		}
	}
	return b.Finish(-1)
}

// loadChain implements node.Config.LoadChain: it takes a while, and may fail.
func (b *broker) loadChain(t *metadata.Topic, done func(partition.Chain, error)) {
	s := b.s
	r := s.rng.chain
	fails := !s.ending && r.IntN(12) == 0
	b.later(mean(r, s.plan.loadDelay), func() {
		b.server.log("chain of %s, generation %d: loaded, or not: %v", t.Name, t.ChainGeneration, fails)
		if fails {
			done(nil, errLoad)
			return
		}
		done(&goChain{s, t.Name, t.ChainGeneration}, nil)
	})
}

// runChain implements node.Config.RunChain.
func (b *broker) runChain(work, done func()) {
	b.later(mean(b.s.rng.chain, b.s.plan.chainDelay), func() {
		work()
		done()
	})
}

// noteGeneration takes down that a topic has, or had, a generation, and whether
// that is one with a chain.
func (s *run) noteGeneration(t *metadata.Topic) {
	if s.generations[t.ID] == nil {
		s.generations[t.ID] = map[uint64]bool{}
	}
	s.generations[t.ID][t.ChainGeneration] = len(t.Chain()) > 0
}

// changeChain attaches, changes or detaches a topic's chain.
func (s *run) changeChain(br *broker, t *topic) {
	r := s.rng.chain
	c := metadata.SetTopicConfigs{TopicID: t.id, Remove: []string{"plugin.chain"}}
	if r.IntN(3) > 0 {
		c = metadata.SetTopicConfigs{TopicID: t.id, Set: []metadata.KV{{Name: "plugin.chain", Value: pick(r, "a", "b", "c")}}}
	}
	s.log("chain of %s: %v", t.name, c.Set)
	s.command(br, c, func(res metadata.Result) {
		if res.Err != nil && s.alone() && !undecided(res.Err) && !errors.Is(res.Err, metadata.ErrUnknownTopic) && !errors.Is(res.Err, replog.ErrNoSpace) {
			s.fail("M1", "set the chain of %s: %v", t.name, res.Err)
		}
	})
}

// startChains has chains changed now and then.
func (s *run) startChains() {
	if !s.plan.chains {
		return
	}
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.chain, s.plan.length/time.Duration(8)), turn)
		topics := s.model.live()
		br := s.operable()
		if br == nil || len(topics) == 0 {
			return
		}
		s.changeChain(br, topics[s.rng.chain.IntN(len(topics))])
	}
	s.after(0, turn)
}

// prepare makes of a batch what the edge of a broker makes of it for the topic
// as it stands, or stood a moment ago.
func (s *run) prepare(br *broker, b *batch) *partition.Append {
	a := &partition.Append{Header: b.header, Time: br.server.now().UnixMilli()}
	b.offered = note(b.offered, a.Time)
	t, ok := br.node.Image().TopicByID(b.part.topic.id)
	if ok {
		a.Generation = t.ChainGeneration
	}
	switch {
	case ok && len(t.Chain()) > 0:
		a.Batch = slices.Clone(b.bytes)
		return a
	case a.Generation > 0 && s.rng.chain.IntN(10) == 0:
		a.Generation--
	}
	a.Entry = partition.NewEntry(b.bytes, a.Time, a.Generation, nil)
	return a
}
