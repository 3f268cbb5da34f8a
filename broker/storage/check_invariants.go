package storage

import "fmt"

// consistent says what of the log's own state does not fit together. It runs in
// builds with the tag "invariants" only.
func (l *Log) consistent() error {
	if l.start > l.localStart || l.localStart > l.end {
		return fmt.Errorf("log %s: start %d, local start %d, end %d", l.dir, l.start, l.localStart, l.end)
	}
	for i, g := range l.segs {
		last := i == len(l.segs)-1
		end := l.end
		if g.sealed {
			end = g.end
		}
		switch {
		case g.sealed == last:
			return fmt.Errorf("log %s: segment %d of %d is sealed: %t", l.dir, i, len(l.segs), g.sealed)
		case !last && g.end != l.segs[i+1].base:
			return fmt.Errorf("log %s: segment %d ends at %d, the next begins at %d", l.dir, g.base, g.end, l.segs[i+1].base)
		case g.base > end || g.synced > g.written || g.written > g.bytes:
			return fmt.Errorf("log %s: segment %d to %d, %d bytes, %d written, %d synced", l.dir, g.base, end, g.bytes, g.written, g.synced)
		}
		for k, e := range g.pending {
			if k > 0 && !g.pending[k-1].before(e) || int64(e.relative) >= int64(end-g.base) || int64(e.position) >= g.bytes {
				return fmt.Errorf("log %s: segment %d to %d, %d bytes: index entry %d is %+v", l.dir, g.base, end, g.bytes, k, e)
			}
		}
	}
	return l.tail.consistent(l)
}

// consistent checks that the tail has every batch from its start on.
func (t *tail) consistent(l *Log) error {
	if t.head > t.next || t.next > len(t.list) || t.from > l.end {
		return fmt.Errorf("log %s: tail from %d, %d, %d of %d", l.dir, t.from, t.head, t.next, len(t.list))
	}
	from := t.from
	for i := t.head; i < len(t.list); i++ {
		e := &t.list[i]
		if e.base < from || e.last < e.base || e.last >= l.end || e.pos+int64(len(e.payload)) > e.g.bytes {
			return fmt.Errorf("log %s: tail has [%d, %d] at %d behind %d, the log ends at %d", l.dir, e.base, e.last, e.pos, from, l.end)
		}
		if whole := e.pos+int64(len(e.payload)) <= e.g.written; whole != (i < t.next) && !e.g.discarded {
			return fmt.Errorf("log %s: batch %d at %d: written to %d, %d of %d entries are", l.dir, e.base, e.pos, e.g.written, t.next, len(t.list))
		}
		from = e.last + 1
	}
	return nil
}
