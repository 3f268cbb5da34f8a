package sim

import (
	"slices"

	"github.com/varvelog/varve/internal/record"
)

// chained reports whether a topic ever had a chain.
func (s *run) chained(t *topic) bool {
	for _, chain := range s.generations[t.id] { // order: a question
		if chain {
			return true
		}
	}
	return false
}

// history returns the generations that a topic ever had, ascending.
func (s *run) history(t *topic) []uint64 {
	var out []uint64
	for g := range s.generations[t.id] { // order: sorted below
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}

// makes is what a generation of its topic makes of a batch.
func (s *run) makes(b *batch, generation uint64) made {
	if !s.generations[b.part.topic.id][generation] {
		return made{stored: b.bytes, sum: b.sum}
	}
	if b.made == nil {
		b.made = map[uint64]made{}
	}
	m, ok := b.made[generation]
	if !ok {
		m = transform(b.bytes, b.header, generation)
		b.made[generation] = m
	}
	return m
}

// mayVanish reports whether some generation stores nothing of a batch.
func (s *run) mayVanish(b *batch) bool {
	for _, g := range s.history(b.part.topic) {
		if m := s.makes(b, g); !m.rejected && m.stored == nil {
			return true
		}
	}
	return false
}

// checkOneGeneration: W6. What is stored of a batch that did not pass untouched
// is what exactly one generation makes of it. The batch is found by what a
// record's value begins with.
func (s *run) checkOneGeneration(p *part, h record.Header, raw []byte) *batch {
	b := s.sentAs(p, raw)
	if b == nil {
		return nil
	}
	sum := sumOf(raw)
	for _, g := range s.history(p.topic) {
		if m := s.makes(b, g); m.stored != nil && m.sum == sum {
			p.bySum[sum] = b
			return b
		}
	}
	s.fail("W6", "%s: what is stored of batch %d at offset %d is what no generation of %v makes of it", p.name, b.id, h.BaseOffset, s.history(p.topic))
	return nil
}

// batchOf returns the batch that a value is from, 0 if there is none.
func batchOf(value []byte) int {
	if len(value) < 4 {
		return 0
	}
	id := 0
	for j := range 4 {
		id |= int(value[j]^byte(j)) << (8 * j)
	}
	return id
}
