package sim

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// streamReads is the stream of reads that take time.
const streamReads = 1101

const (
	// readTimeout is how long a reader waits for one body.
	readTimeout = 3 * time.Second
	// readsMax is how many reads of the store are under way at once.
	readsMax = 6
)

// errCut is a body that ended early, which shows in its checksums only.
var errCut = fmt.Errorf("%w: a body ended early", errStore)

// coldRead is one read of the cold tier: it looks at the manifest, gets the tail of
// the object, then the batches. The world goes on meanwhile.
type coldRead struct {
	s        *run
	p        *part
	b        *broker
	at       *partition.Partition
	from     ident.Offset
	maxBytes int

	segment manifest.Segment
	tail    *segfile.Tail
	object  *object
	since   time.Time // when the manifest was looked at
	cut     bool      // a body ended early
}

// locate finds the object that holds the next records, as the broker does.
func (r *coldRead) locate() (partition.Place, error) {
	s := r.s
	o, gone := r.at.Offsets()
	place, err := r.at.Locate(r.from)
	if gone == nil && r.from < o.LogStart && err == nil {
		s.fail("L7", "%s: the log starts at %d, and a read at %d is sent to [%d, %d) of the cold tier", r.p.name, o.LogStart, r.from, place.At, place.End)
	}
	if err != nil || place.Local {
		return place, err
	}
	r.since, r.cut = s.now, false
	i, ok := place.List.Find(place.At)
	if !ok {
		s.fail("S4", "%s: offset %d is said to be in the cold tier, which holds [%d, %v)", r.p.name, r.from, place.List.Start(), place.End)
	}
	r.segment = *place.List.At(i)
	r.object = s.store.objects[r.segment.ID]
	if r.object == nil && !s.alone() && s.newest(r.p.id) != r.b {
		return place, errStore // of a leader that was deposed, and its manifest is old
	}
	if r.object == nil && r.p.lacks[r.segment.ID] {
		return place, errStore
	}
	if r.object == nil {
		s.fail("S3", "%s: the object of [%d, %d), which the manifest names, is not there", r.p.name, r.segment.Base, r.segment.End)
	}
	return place, nil
}

// parse takes the tail of the object.
func (r *coldRead) parse(b []byte) (err error) {
	r.tail, err = segfile.ParseTail(&r.segment, r.p.id, b)
	return err
}

// extent returns the part of the object in which the batches are.
func (r *coldRead) extent() (off, end int64) {
	off = manifest.DataOffset + r.tail.Floor(r.from)
	return off - off%r.tail.BlockBytes(), r.segment.TailOffset()
}

// take takes the batches of a part of the object that reaches to the end of its
// data.
func (r *coldRead) take(off int64, body []byte) (fetched, error) {
	f := fetched{next: r.from}
	if err := r.tail.VerifyRange(off, body); err != nil {
		return f, err
	}
	rest := body[manifest.DataOffset+r.tail.Floor(r.from)-off:]
	for len(rest) > 0 {
		h, err := record.ParseHeader(rest)
		if err != nil || h.Size() > len(rest) {
			r.s.fail("L8", "%s: the object of [%d, %d) was verified, and holds no batch: %v", r.p.name, r.segment.Base, r.segment.End, err)
		}
		raw := rest[:h.Size()]
		rest = rest[h.Size():]
		if ident.Offset(h.LastOffset()) < r.from {
			continue
		}
		if f.batches > 0 && len(f.bytes)+len(raw) > r.maxBytes {
			return f, nil
		}
		f.bytes = append(f.bytes, raw...)
		f.batches++
		f.next = ident.Offset(h.LastOffset()) + 1
	}
	f.next = r.segment.End
	return f, nil
}

// startColdReaders has the cold tier read by readers that wait for the store.
func (s *run) startColdReaders() {
	if !s.plan.tier || s.plan.without["later"] {
		return
	}
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.store.reads, s.plan.length/250), turn)
		parts := s.model.parts()
		if len(parts) == 0 || s.store.reading >= readsMax {
			return
		}
		p := parts[s.store.reads.IntN(len(parts))]
		if b := s.route(p.id); b != nil {
			s.readCold(p, b)
		}
	}
	s.after(0, turn)
}

// readCold begins to read a partition at some offset that is not on the local disk,
// or is below the log start.
func (s *run) readCold(p *part, b *broker) {
	o, at, ok := s.offsets(p, b)
	rng := s.store.reads
	if !ok || o.LocalStart == 0 || o.LocalStart == o.LogStart && rng.IntN(8) > 0 {
		return
	}
	from := o.LogStart
	switch {
	case rng.IntN(5) == 0:
		from = ident.Offset(rng.Int64N(int64(o.LocalStart)))
	case o.LocalStart > from:
		from += ident.Offset(rng.Int64N(int64(o.LocalStart - from)))
	}
	r := &coldRead{s: s, p: p, b: b, at: at, from: from, maxBytes: 1 + rng.IntN(20_000)}
	s.store.reading++
	r.chunk(o, 1+rng.IntN(6))
}

// chunk reads one chunk, and goes on behind it, for so many chunks.
func (r *coldRead) chunk(o partition.Offsets, left int) {
	place, err := r.locate()
	if err != nil || place.Local || left == 0 {
		r.s.log("cold read of %s at %d ends: local %t, %v", r.p.name, r.from, place.Local, err)
		if err != nil && !errors.Is(err, errStore) && !errors.Is(err, partition.ErrNotLeader) && !errors.Is(err, partition.ErrOffsetOutOfRange) && !errors.Is(err, partition.ErrDamaged) {
			r.s.fail("S4", "%s: the log is [%d, %d), and offset %d is nowhere: %v", r.p.name, o.LogStart, o.HighWatermark, r.from, err)
		}
		r.s.store.reading--
		return
	}
	r.s.collide(r.p.id, r.s.store.reads)
	r.get(r.segment.TailOffset(), r.segment.ObjectBytes, func(b []byte, err error) {
		if err == nil {
			err = r.parse(b)
		}
		if err != nil {
			r.failed(err)
			return
		}
		off, end := r.extent()
		r.get(off, end, func(b []byte, err error) {
			f := fetched{}
			if err == nil {
				f, err = r.take(off, b)
			}
			if err != nil {
				r.failed(err)
				return
			}
			r.s.stats.ColdReads++
			r.s.checkCold(r.p, r.from, f)
			r.from, _ = r.s.received(r.p, r.b, r.from, o, f, nil)
			if r.p.topic.state == live && r.b.partition(r.p.id) == r.at {
				if o, _, ok := r.s.offsets(r.p, r.b); ok {
					r.chunk(o, left-1)
					return
				}
			}
			r.s.store.reading--
		})
	})
}

// failed ends a read that went wrong: because of the store, or because its grace is
// over.
func (r *coldRead) failed(err error) {
	r.s.store.reading--
	r.s.log("cold read of %s at %d ends: %v", r.p.name, r.from, err)
	if !errors.Is(err, errStore) && !r.cut {
		r.s.fail("S1", "%s: the object of [%d, %d), which the manifest names, reads wrong: %v", r.p.name, r.segment.Base, r.segment.End, err)
	}
}

// get gets a part of the object. Its body comes in pieces, and may end early, or
// too late.
func (r *coldRead) get(from, to int64, then func([]byte, error)) {
	s, rng := r.s, r.s.store.reads
	what := fine
	if s.faulty() && rng.IntN(100) < s.plan.storeFails {
		what = before + trouble(rng.IntN(int(troubleEnd-before)))
	}
	end := s.now.Add(readTimeout)
	first := s.now.Add(s.store.delayOf(rng))
	if what == before || what == after || first.After(end) {
		r.answer(first, end, nil, errStore, then)
		return
	}
	s.after(first.Sub(s.now), func() {
		o := s.store.objects[r.segment.ID]
		if o == nil {
			s.goneTooSoon(r.p, r.b, r.object, r.since)
			r.answer(s.now, end, nil, fmt.Errorf("%w: it has no %s", errStore, r.object.key), then)
			return
		}
		last := s.now
		for range rng.IntN(4) {
			last = last.Add(s.store.delayOf(rng))
		}
		if what == late {
			last = end.Add(1)
		}
		b, err := o.raw[from:to], error(nil)
		if what == halfway {
			b, err = r.part(b)
		}
		r.answer(last, end, b, err, then)
	})
}

// answer gives the reader a body, unless it does not wait any more.
func (r *coldRead) answer(at, end time.Time, b []byte, err error, then func([]byte, error)) {
	s := r.s
	if at.After(end) {
		at, b, err = end, nil, errTimeout
	}
	s.after(at.Sub(s.now), func() {
		if !r.b.answers() { // and nobody waits any more
			s.store.reading--
			return
		}
		then(b, err)
	})
}

// part is a body that ends early. Either that shows, and fewer bytes than asked for
// are never taken for all, or nothing tells but the object's checksums.
func (r *coldRead) part(b []byte) ([]byte, error) {
	rng := r.s.store.reads
	n := rng.IntN(len(b))
	r.s.log("store: the body of %s ends after %d of %d bytes", r.object.key, n, len(b))
	if rng.IntN(2) == 0 {
		return nil, errCut
	}
	r.cut = true
	b = bytes.Clone(b)
	clear(b[n:])
	return b, nil
}
