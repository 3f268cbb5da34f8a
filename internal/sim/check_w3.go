package sim

import (
	"slices"
	"strings"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// letterTopics returns the dead-letter topics.
func (b *broker) letterTopics() []*metadata.Topic {
	var out []*metadata.Topic
	for t := range b.node.Image().Topics() {
		if strings.HasPrefix(t.Name, letterPrefix) {
			out = append(out, t)
		}
	}
	return out
}

// readLetters reads all dead letters. No two are for one record, the order is
// that of their origin, and each counts as a place of its batch, so that one
// that was refused leaves none (L6).
func (s *run) readLetters() map[ident.Partition]map[ident.Offset]letter {
	out := map[ident.Partition]map[ident.Offset]letter{}
	last := map[ident.Partition]ident.Offset{}
	for _, t := range s.ready().letterTopics() {
		for i := range t.Partitions {
			for _, l := range s.readLetterPartition(ident.Partition{Topic: t.ID, Index: int32(i)}, t.Name) {
				if s.givenLetter(l) {
					continue
				}
				if out[l.from] == nil {
					out[l.from] = map[ident.Offset]letter{}
				}
				if _, ok := out[l.from][l.offset]; ok && !s.letterMayMove(l) {
					s.fail("W3", "%s holds two letters of %v at offset %d", t.Name, l.from, l.offset)
				}
				if o, ok := last[l.from]; ok && l.offset < o && !s.letterMayMove(l) {
					s.fail("W3", "%s: the letter of %v at offset %d stands behind that at %d", t.Name, l.from, l.offset, o)
				}
				out[l.from][l.offset], last[l.from] = l, l.offset
				s.stats.Letters++
			}
		}
	}
	return out
}

// readLetterPartition reads a partition of a dead-letter topic.
func (s *run) readLetterPartition(id ident.Partition, name string) []letter {
	b := s.newest(id)
	if b == nil {
		s.fail("V1", "partition %d of %s does not serve", id.Index, name)
	}
	at, o, _ := b.serves(id)
	var out []letter
	for from := o.LogStart; from < o.HighWatermark; {
		c, err := at.Read(from, o.HighWatermark, 1<<20, true)
		if err != nil || c.NextOffset <= from {
			s.fail("L1", "read %s at %d: %v", name, from, err)
		}
		var all []byte
		for _, b := range c.Buffers {
			all = append(all, b...)
		}
		for raw, err := range record.Batches(all) {
			if err == nil && !record.VerifyCRC(raw) {
				err = record.ErrInvalidRecord
			}
			if err == nil {
				err = record.ForEach(raw, 0, func(r *record.Record) error {
					l, ok := parseLetter(slices.Clone(r.Value))
					if !ok {
						return record.ErrInvalidRecord
					}
					if !s.givenLetter(l) {
						s.sawLetter(l)
					}
					out = append(out, l)
					return nil
				})
			}
			if err != nil {
				s.fail("L8", "read %s at %d: %v", name, from, err)
			}
		}
		from = c.NextOffset
	}
	return out
}

// sawLetter looks at one letter: it is of a record that was sent to the
// partition that it says, and that its generation does not want.
func (s *run) sawLetter(l letter) {
	id := batchOf(l.value)
	if id < 1 || id > len(s.model.batches) {
		s.fail("W3", "a letter of %v at offset %d that nobody sent", l.from, l.offset)
	}
	b := s.model.batches[id-1]
	if b.part.id != l.from || !slices.Contains(s.makes(b, l.generation).dead, l.delta) {
		s.fail("W3", "batch %d, record %d, is no dead letter of %v in generation %d", id, l.delta, l.from, l.generation)
	}
	b.seen = note(b.seen, l.offset-ident.Offset(l.delta))
	s.checkPlaces(b)
}

// checkOneFate: W3. Of every acknowledged batch, each record is stored, dropped,
// or a dead letter, as one generation makes of it, and exactly one of these.
func (s *run) checkOneFate(p *part, letters map[ident.Offset]letter) {
	if !s.chained(p.topic) {
		return
	}
	for _, base := range p.bases {
		b := p.acked[base]
		var dead []int
		for i := range int(b.header.Count) {
			if l, ok := letters[base+ident.Offset(i)]; ok && (!p.cut || batchOf(l.value) == b.id) { // else it is of what was at the offset before a repair
				dead = append(dead, i)
			}
		}
		v, stored := p.values[base]
		fits := false
		for _, g := range s.history(p.topic) {
			m := s.makes(b, g)
			if m.rejected || !p.deadAre(base, dead, m.dead) {
				continue
			}
			if base < p.start && !stored || stored == (m.stored != nil) && (!stored || m.sum == v.sum) {
				fits = true
			}
		}
		if !fits {
			s.fail("W3", "%s: of batch %d, acknowledged at offset %d, records %v are dead letters and stored is %v: no generation of %v makes that of it",
				p.name, b.id, base, dead, stored, s.history(p.topic))
		}
	}
}

// checkOutboxes: W3. When all is quiet, nothing waits to be delivered.
func (s *run) checkOutboxes() {
	for _, p := range s.model.parts() {
		for _, b := range s.brokers() {
			at := b.partition(p.id)
			if at == nil {
				continue
			}
			if n, bytes := at.OutboxDepth(); n != 0 || bytes != 0 {
				s.fail("V1", "%s: %d emissions of %d bytes are not delivered, says broker %d", p.name, n, bytes, b.server.id)
			}
		}
	}
}

// vanished reports whether an idempotent producer's batches from one sequence to
// another may have left nothing in the log.
func (s *run) vanished(p *part, producer int64, epoch int16, from, to int32) bool {
	if !s.chained(p.topic) && !p.cut {
		return false
	}
	for from != to {
		b := p.bySequence[sequence{producer, epoch, from}]
		if b == nil || !b.given && !s.mayVanish(b) {
			return false
		}
		from = b.header.LastSequence() + 1
	}
	return true
}

// sequence names a batch of an idempotent producer.
type sequence struct {
	id    int64
	epoch int16
	first int32
}
