package storage

import (
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// Each way in which the state of a log can contradict itself is seen.
func TestInconsistentStateIsSeen(t *testing.T) {
	for name, spoil := range map[string]func(l *Log){
		"nothing":        func(*Log) {},
		"gap":            func(l *Log) { l.segs[0].end++ },
		"two active":     func(l *Log) { l.segs[0].sealed = false },
		"none active":    func(l *Log) { l.segs[len(l.segs)-1].sealed = true },
		"written beyond": func(l *Log) { l.segs[0].written = l.segs[0].bytes + 1 },
		"synced beyond":  func(l *Log) { l.segs[0].synced = l.segs[0].written + 1 },
		"start":          func(l *Log) { l.start = l.end + 1 },
		"local start":    func(l *Log) { l.localStart = l.end + 1 },
		"index":          func(l *Log) { g := l.active(); g.pending = append(g.pending, indexEntry{1 << 30, 0, 0}) },
		"index order":    func(l *Log) { g := l.active(); g.pending = append(g.pending, g.pending[0]) },
		"tail":           func(l *Log) { l.tail.list[len(l.tail.list)-1].base-- },
		"tail behind":    func(l *Log) { l.end-- },
		"tail written":   func(l *Log) { l.tail.next-- },
	} {
		m := model{}
		fs := vfs.NewMem(vfs.MemOptions{})
		_, pos := sealedLog(t, fs, 20)
		l := open(t, fs, pos, Settings{SegmentBytes: 8 << 10, IndexIntervalBytes: 500}, NewCache(Limits{TailBytes: 1 << 20}))
		m.end = l.End()
		for range 4 {
			b := makeBatch(t, m.end, 3, []int64{1, 2}, 450, rand.New(rand.NewPCG(1, 2)))
			b.appendTo(t, l)
			m.end = b.last + 1
		}
		flush(t, l)
		b := makeBatch(t, m.end, 3, []int64{1, 2}, 1000, rand.New(rand.NewPCG(1, 2)))
		b.appendTo(t, l)
		if err := l.consistent(); err != nil {
			t.Fatal(err)
		}
		if spoil(l); (l.consistent() != nil) != (name != "nothing") {
			t.Errorf("%s: %v", name, l.consistent())
		}
	}
}
