package wal

import "fmt"

// consistent says what of the log's own accounts does not add up. It runs in
// builds with the tag "invariants" only.
func (l *Log) consistent() error {
	if l.failed != nil {
		return nil
	}
	queued, biggest := int64(0), int64(0)
	for i := range l.queue {
		it := &l.queue[i]
		if it.cost != align(writeHeader+it.rec.size()) {
			return fmt.Errorf("record %d of the queue costs %d", i, it.cost)
		}
		queued += it.cost
		biggest = max(biggest, it.cost)
	}
	switch {
	case queued != l.queued:
		return fmt.Errorf("%d bytes are queued, not %d", queued, l.queued)
	case biggest > l.biggest:
		return fmt.Errorf("a record of %d bytes is queued, the largest is said to have %d", biggest, l.biggest)
	case l.reserved < 0:
		return fmt.Errorf("%d bytes are reserved", l.reserved)
	case l.cur.off < fileHeaderBytes || l.cur.off > l.cur.head.size || l.cur.off%Block != 0:
		return fmt.Errorf("the next write goes to %d of a file of %d bytes", l.cur.off, l.cur.head.size)
	case l.next != nil && l.next.off != fileHeaderBytes:
		return fmt.Errorf("the file that waits is written up to %d", l.next.off)
	case l.low > l.durable || l.durable > l.previous || l.inflight == nil && l.durable < l.previous:
		return fmt.Errorf("low %d, durable %d, issued %d", l.low, l.durable, l.previous)
	}
	for i := 1; i < len(l.old); i++ {
		if l.old[i-1].end > l.old[i].end {
			return fmt.Errorf("file %s ends at %d, the one before at %d", l.old[i].name, l.old[i].end, l.old[i-1].end)
		}
	}
	if n := len(l.old); n > 0 && l.old[n-1].end > l.cur.head.base {
		return fmt.Errorf("file %s ends at %d, the current one begins at %d", l.old[n-1].name, l.old[n-1].end, l.cur.head.base)
	}
	return nil
}
