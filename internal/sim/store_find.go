package sim

import (
	"context"
	"slices"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/offload"
)

// streamFinds is the stream of looking for objects, so that all others stay as they
// are.
const streamFinds = 1301

// Find implements node.Tier. The store is asked after a while, and the answer comes
// after another, or none does but an error.
func (c cold) Find(p ident.Partition, segments []manifest.Segment, done func(int, error)) {
	st, s := c.st, c.st.s
	fails := s.faulty() && st.finds.IntN(100) < s.plan.storeFails
	segments = slices.Clone(segments)
	s.stats.Finds++
	s.after(st.delayOf(st.finds), func() {
		found, err := offload.Find(context.Background(), &bucket{st: st}, "sim", p, segments)
		if fails {
			found, err = st.finds.IntN(found+1), errStore
		}
		s.after(st.delayOf(st.finds), func() {
			if !c.lives() {
				return
			}
			s.log("store: looked for %d objects of %v: %d are there, %v", len(segments), p, found, err)
			if err == nil && found < len(segments) {
				s.stats.FoundGone++
			}
			c.b.touch()
			done(found, err)
			c.b.wake()
		})
	})
}
