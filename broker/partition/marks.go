package partition

// marksMax bounds the producers that have a mark. Beyond it the oldest mark is
// forgotten: its producer would have to have sent nothing for as long as it
// took that many others to be refused.
const marksMax = 10_000

// mark says that a producer's batch was refused before it was proposed.
type mark struct {
	epoch int16
	first int32
}

// marks are the refused batches of a partition's producers (P3).
type marks struct {
	byID  map[int64]mark
	order []int64
}

// before reports whether sequence a comes before b, of which one may have begun
// again at 0.
func before(a, b int32) bool { return uint32(b-a)&0x7fffffff-1 < 1<<30 }

// add marks a refused batch, unless an earlier one of its producer is marked. A
// batch that was in flight may be refused after a later one was.
func (m *marks) add(q sequence) {
	if q.id < 0 {
		return
	}
	if old, ok := m.byID[q.id]; ok {
		if q.epoch > old.epoch || q.epoch == old.epoch && before(q.first, old.first) {
			m.byID[q.id] = mark{q.epoch, q.first}
		}
		return
	}
	if m.byID == nil {
		m.byID = map[int64]mark{}
	}
	for len(m.byID) >= marksMax {
		delete(m.byID, m.order[0])
		m.order = m.order[1:]
	}
	m.byID[q.id] = mark{q.epoch, q.first}
	m.order = append(m.order, q.id)
}

// refuses reports whether a batch would pass a refused one. The marked batch
// itself, or a newer epoch, lifts the mark. An earlier batch, which may have been
// refused behind a mark that was lifted since, and an older epoch do neither: the
// producer's state judges them.
func (m *marks) refuses(q sequence) bool {
	old, ok := m.byID[q.id]
	switch {
	case !ok || q.epoch < old.epoch:
		return false
	case q.epoch == old.epoch && q.first != old.first:
		return before(old.first, q.first)
	}
	m.lift(q.id)
	return false
}

// behind reports whether a batch comes behind its producer's marked one.
func (m *marks) behind(q sequence) bool {
	old, ok := m.byID[q.id]
	return ok && q.follows(q.id, old)
}

// follows reports whether a batch comes behind a producer's marked one.
func (q sequence) follows(id int64, m mark) bool {
	return q.id == id && q.epoch == m.epoch && before(m.first, q.first)
}

// lift forgets a producer's mark.
func (m *marks) lift(producer int64) {
	delete(m.byID, producer)
	for i, id := range m.order {
		if id == producer {
			m.order = append(m.order[:i], m.order[i+1:]...)
			break
		}
	}
}

// settle forgets the marks of batches that were appended after all.
func (m *marks) settle(passed func(id int64, m mark) bool) {
	var kept []int64
	for _, id := range m.order {
		if passed(id, m.byID[id]) {
			delete(m.byID, id)
		} else {
			kept = append(kept, id)
		}
	}
	m.order = kept
}

func (m *marks) clear() { *m = marks{} }
