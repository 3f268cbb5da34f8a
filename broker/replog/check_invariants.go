package replog

import "fmt"

// consistent says what of a group's state does not fit together after it ran. It
// runs in builds with the tag "invariants" only.
func (g *group) consistent() error {
	if g.parked != nil {
		return nil
	}
	bytes := int64(0)
	for i, e := range g.store.ents {
		if e.Index != g.store.dropped+uint64(i)+1 {
			return fmt.Errorf("group %d: entry %d is number %d behind %d", g.id, e.Index, i, g.store.dropped)
		}
		if i > 0 && e.Term < g.store.ents[i-1].Term || i == 0 && e.Term < g.store.droppedTerm {
			return fmt.Errorf("group %d: the term of entry %d goes back to %d", g.id, e.Index, e.Term)
		}
		bytes += int64(len(e.Data))
	}
	if bytes != g.store.bytes {
		return fmt.Errorf("group %d: entries hold %d bytes, not %d", g.id, bytes, g.store.bytes)
	}
	for i, w := range g.pending {
		if w.index <= g.applied || i > 0 && w.index <= g.pending[i-1].index {
			return fmt.Errorf("group %d: entry %d is awaited at place %d, %d are applied", g.id, w.index, i, g.applied)
		}
	}
	for i := 1; i < len(g.where); i++ {
		if g.where[i-1].last >= g.where[i].last && g.where[i-1].position >= g.where[i].position {
			return fmt.Errorf("group %d: span %d is %+v behind %+v", g.id, i, g.where[i], g.where[i-1])
		}
	}
	if g.store.dropped > g.applied {
		return fmt.Errorf("group %d: dropped up to %d, applied up to %d", g.id, g.store.dropped, g.applied)
	}
	return nil
}
