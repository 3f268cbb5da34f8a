package sim

import (
	"github.com/varvelog/varve/internal/ident"
)

// vanish has somebody delete an object from the bucket behind the broker's back,
// of a segment that is on the local disk yet: when a partition is led again, so that
// nobody has looked for it since. Its segment must stay there (S1).
func (s *run) vanish(b *broker) {
	if b == nil || !s.plan.tier || s.plan.full || !s.store.vanishing || s.ending {
		return
	}
	for _, t := range s.model.topics {
		if t.state != live {
			continue
		}
		for _, p := range t.parts {
			at, o, ok := b.serves(p.id)
			if !ok || b.led[p.id] == o.LeaderEpoch || s.newest(p.id) != b {
				continue
			}
			if b.led == nil {
				b.led = map[ident.Partition]ident.Epoch{}
			}
			b.led[p.id] = o.LeaderEpoch
			list, r := at.Tiered(), s.store.finds
			if list.Len() == 0 || r.IntN(2) > 0 {
				continue
			}
			seg := list.At(r.IntN(list.Len()))
			object := s.store.objects[seg.ID]
			if object == nil || seg.Base < o.LocalStart {
				continue
			}
			s.log("store: somebody deletes %s", object.key)
			p.lacks[seg.ID], p.removed[seg.ID] = true, true
			delete(s.store.objects, seg.ID)
			s.store.gone = append(s.store.gone, ghost{object, s.now})
			s.stats.Vanished++
		}
	}
}
