package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// Each way in which the accounts of a log can be wrong is seen.
func TestWrongAccountsAreSeen(t *testing.T) {
	for name, spoil := range map[string]func(l *Log){
		"nothing":  func(*Log) {},
		"queued":   func(l *Log) { l.queued++ },
		"cost":     func(l *Log) { l.queue[0].cost += Block },
		"biggest":  func(l *Log) { l.biggest = 0 },
		"reserved": func(l *Log) { l.reserved = -1 },
		"offset":   func(l *Log) { l.cur.off++ },
		"low":      func(l *Log) { l.low = l.durable + 1 },
		"durable":  func(l *Log) { l.durable = l.previous + 1 },
		"old file": func(l *Log) { l.old = append(l.old, &closed{end: l.cur.head.base + 1}) },
		"old files": func(l *Log) {
			l.old = append(l.old, &closed{end: l.cur.head.base}, &closed{end: l.cur.head.base - 1})
		},
	} {
		l, _, err := Open(vfs.NewMem(vfs.MemOptions{}), smallSettings(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Enqueue(Record{Kind: KindProof}, nil, 0); err != nil {
			t.Fatal(err)
		}
		if spoil(l); (l.consistent() != nil) != (name != "nothing") {
			t.Errorf("%s: %v", name, l.consistent())
		}
		l.Close()
	}
}
