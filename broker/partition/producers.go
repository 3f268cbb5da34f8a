package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// Refusals of idempotent produce (KIP-98).
var (
	// ErrFenced: the producer's epoch is older than one seen
	// (INVALID_PRODUCER_EPOCH).
	ErrFenced = errors.New("partition: producer epoch is fenced")
	// ErrOutOfOrder: the batch does not follow the producer's last one
	// (OUT_OF_ORDER_SEQUENCE_NUMBER).
	ErrOutOfOrder = errors.New("partition: sequence number out of order")
)

// batchesKept is how many batches of a producer are remembered: idempotent
// producers have at most five in flight.
const batchesKept = 5

// sequence says where a producer's batch stands among its others.
type sequence struct {
	id          int64
	epoch       int16
	first, last int32
}

// appended is a remembered batch.
type appended struct {
	first, last int32
	base, end   ident.Offset // end is the offset of its last record; base is -1 if a repair has lost it
	time        int64        // of its entry
}

// producer is what is remembered of one producer id.
type producer struct {
	epoch   int16
	time    int64 // of its last entry
	count   uint8
	batches [batchesKept]appended // oldest first
}

// producers is the producer state of one partition, a function of the applied
// entries only.
type producers struct {
	byID  map[int64]*producer
	bytes int64 // that they take in a checkpoint
}

// verdict is what producer state says about a batch.
type verdict struct {
	duplicate bool
	batch     appended // of the duplicate
	err       error
}

// before returns what is known of producers from batches below an offset.
func (s *producers) before(end ident.Offset) *producers {
	out := &producers{byID: map[int64]*producer{}}
	for id, p := range s.byID { // order: a map again
		q := &producer{epoch: p.epoch, time: p.time}
		for _, b := range p.batches[:p.count] {
			if b.end < end {
				q.batches[q.count] = b
				q.count++
			}
		}
		if q.count > 0 {
			out.byID[id] = q
		}
	}
	return out
}

// judge decides whether a batch is new, a duplicate, or refused.
func (s *producers) judge(q sequence) verdict {
	p := s.byID[q.id]
	switch {
	case q.id < 0 || p == nil:
		return verdict{}
	case q.epoch < p.epoch:
		return verdict{err: fmt.Errorf("%w: producer %d has epoch %d, the batch %d", ErrFenced, q.id, p.epoch, q.epoch)}
	case q.epoch > p.epoch:
		if q.first != 0 {
			return verdict{err: fmt.Errorf("%w: producer %d begins epoch %d at sequence %d", ErrOutOfOrder, q.id, q.epoch, q.first)}
		}
		return verdict{}
	}
	if b, ok := p.find(q); ok && b.base < 0 {
		return verdict{err: fmt.Errorf("%w: the batch of producer %d at sequence %d was lost by a repair", ErrOutOfOrder, q.id, q.first)}
	} else if ok {
		return verdict{duplicate: true, batch: b}
	}
	if p.count == 0 {
		return verdict{}
	}
	if want := nextSequence(p.batches[p.count-1].last); q.first != want && !mutant.On(mutant.NoDeduplication) {
		return verdict{err: fmt.Errorf("%w: producer %d sends sequence %d, %d is next", ErrOutOfOrder, q.id, q.first, want)}
	}
	return verdict{}
}

// find looks for a batch of the same sequences.
func (p *producer) find(q sequence) (appended, bool) {
	if mutant.On(mutant.NoDeduplication) {
		return appended{}, false
	}
	for _, b := range p.batches[:p.count] {
		if b.first == q.first && b.last == q.last {
			return b, true
		}
	}
	return appended{}, false
}

// passed reports whether a producer's marked batch, or a later one, was appended.
func (s *producers) passed(id int64, m mark) bool {
	p := s.byID[id]
	if p == nil || p.epoch != m.epoch || p.count == 0 {
		return p != nil && p.epoch > m.epoch
	}
	return !before(p.batches[p.count-1].last, m.first)
}

// nextSequence counts on, from 2^31-1 to 0 as Kafka does.
func nextSequence(s int32) int32 { return int32((int64(s) + 1) & 0x7fffffff) }

// add remembers an appended batch.
func (s *producers) add(q sequence, base, end ident.Offset, time int64) {
	if q.id < 0 {
		return
	}
	p := s.byID[q.id]
	if p == nil || p.epoch != q.epoch {
		s.bytes += producerBytes - p.size()
		p = &producer{epoch: q.epoch}
		s.byID[q.id] = p
	}
	if p.count == batchesKept {
		copy(p.batches[:], p.batches[1:])
		p.count--
		s.bytes -= batchBytes
	}
	s.bytes += batchBytes
	p.batches[p.count] = appended{first: q.first, last: q.last, base: base, end: end, time: time}
	p.count++
	p.time = time
}

// expire forgets producers whose last entry's time is below before.
func (s *producers) expire(before int64) {
	for id, p := range s.byID { // order: deletions only
		if p.time < before {
			s.bytes -= p.size()
			delete(s.byID, id)
		}
	}
}

// size returns what a producer takes in a checkpoint, 0 for none.
func (p *producer) size() int64 {
	if p == nil {
		return 0
	}
	return producerBytes + int64(p.count)*batchBytes
}

// cutoff returns the least time such that the producers whose last entry's time is
// below it take at least so many bytes, and how many they take. Only those count
// whose time is below most.
func (s *producers) cutoff(bytes, most int64) (before, shed int64) {
	all := make([]*producer, 0, len(s.byID))
	for _, p := range s.byID { // order: sorted below
		if p.time < most {
			all = append(all, p)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].time < all[j].time })
	for i, p := range all {
		shed += p.size()
		if last := i+1 == len(all); shed >= bytes && (last || all[i+1].time > p.time) || last {
			before = p.time + 1
			break
		}
	}
	return before, shed
}

// oldest returns the smallest time of a producer's last entry.
func (s *producers) oldest() (int64, bool) {
	var least int64
	found := false
	for _, p := range s.byID { // order: a minimum
		if !found || p.time < least {
			least, found = p.time, true
		}
	}
	return least, found
}

func (s *producers) sorted() []int64 {
	ids := make([]int64, 0, len(s.byID))
	for id := range s.byID { // order: sorted below
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}

const (
	producerBytes = 8 + 2 + 8 + 1
	batchBytes    = 4 + 4 + 8 + 8 + 8
)

// appendTo encodes the state by producer id.
func (s *producers) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(s.byID)))
	for _, id := range s.sorted() {
		p := s.byID[id]
		b = le.AppendUint64(b, uint64(id))
		b = le.AppendUint16(b, uint16(p.epoch))
		b = le.AppendUint64(b, uint64(p.time))
		b = append(b, p.count)
		for _, a := range p.batches[:p.count] {
			b = le.AppendUint32(b, uint32(a.first))
			b = le.AppendUint32(b, uint32(a.last))
			b = le.AppendUint64(b, uint64(a.base))
			b = le.AppendUint64(b, uint64(a.end))
			b = le.AppendUint64(b, uint64(a.time))
		}
	}
	return b
}

func decodeProducers(b []byte) (producers, []byte, error) {
	s := producers{byID: map[int64]*producer{}}
	le := binary.LittleEndian
	if len(b) < 4 {
		return s, nil, errState
	}
	n := int(le.Uint32(b))
	b = b[4:]
	if n > len(b)/producerBytes {
		return s, nil, errState
	}
	for range n {
		if len(b) < producerBytes {
			return s, nil, errState
		}
		id := int64(le.Uint64(b))
		p := &producer{epoch: int16(le.Uint16(b[8:])), time: int64(le.Uint64(b[10:])), count: b[18]}
		b = b[producerBytes:]
		if p.count > batchesKept || len(b) < int(p.count)*batchBytes || s.byID[id] != nil {
			return s, nil, errState
		}
		for i := range p.batches[:p.count] {
			p.batches[i] = appended{
				first: int32(le.Uint32(b)), last: int32(le.Uint32(b[4:])),
				base: ident.Offset(le.Uint64(b[8:])), end: ident.Offset(le.Uint64(b[16:])), time: int64(le.Uint64(b[24:])),
			}
			b = b[batchBytes:]
		}
		s.byID[id] = p
		s.bytes += p.size()
	}
	return s, b, nil
}
