package sim

import (
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// checkUpload: S5. What an upload reads is whole batches with right checksums,
// in order, within the offsets and of the leader epochs that the job says, and
// each is what is, or was, read from the local log. floor was the log start when
// the job was made; epochs below it are not known any more.
func (s *run) checkUpload(o *object, j *node.UploadJob, floor ident.Offset) {
	u := &j.Segment
	if int64(len(o.data)) != u.Bytes {
		s.fail("S5", "%v: the segment [%d, %d) has %d bytes, and %d are read", o.id, u.Base, u.End, u.Bytes, len(o.data))
	}
	if err := o.index(); err != nil {
		s.fail("S5", "%v: the bytes of segment [%d, %d) are no batches: %v", o.id, u.Base, u.End, err)
	}
	p := s.model.part(o.id)
	next := u.Base
	for _, b := range o.batches {
		if b.base < next || b.last >= u.End {
			s.fail("S5", "%v: the segment [%d, %d) holds a batch of the offsets %d to %d where %d is next", o.id, u.Base, u.End, b.base, b.last, next)
		}
		next = b.last + 1
		raw := o.data[b.at : b.at+b.size]
		h, _ := record.ParseHeader(raw) // index parsed it
		epoch := ident.Epoch(-1)
		for _, e := range u.Epochs {
			if e.Start <= b.base {
				epoch = e.Epoch
			}
		}
		if b.base >= floor && epoch != ident.Epoch(h.LeaderEpoch) {
			s.fail("S5", "%v: the batch at offset %d has epoch %d, the upload of [%d, %d) says %v", o.id, b.base, h.LeaderEpoch, u.Base, u.End, u.Epochs)
		}
		if p != nil {
			s.sawBatch(p, h, raw)
		}
	}
}

// checkCold: S5. What is read from the cold tier lacks no batch that was ever read
// from that part of the log, or told to a producer; that each is the same is L2.
func (s *run) checkCold(p *part, from ident.Offset, f fetched) {
	there := map[ident.Offset]bool{}
	for raw, err := range record.Batches(f.bytes) {
		h, bad := record.ParseHeader(raw)
		if err != nil || bad != nil {
			return // L8
		}
		there[ident.Offset(h.BaseOffset)] = true
	}
	missing := ident.Offset(-1)
	for base := range p.values { // order: the lowest
		if base >= from && base < f.next && !there[base] && p.spared(base) && (missing < 0 || base < missing) {
			missing = base
		}
	}
	if missing >= 0 {
		s.fail("S5", "%s: the cold tier gives %d batches of [%d, %d), and lacks the one at offset %d, which was read before", p.name, f.batches, from, f.next, missing)
	}
}
