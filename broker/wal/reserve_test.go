package wal

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// A current file without room wastes nothing when the next one takes over, so
// a record of half a file is not refused for ever.
func TestFullFileWastesNothing(t *testing.T) {
	s := smallSettings(1)
	l, _ := mustOpen(t, vfs.NewMem(vfs.MemOptions{}), s)
	for index := uint64(1); l.cur.room() > 0; index++ {
		mustWrite(t, l, appendOf(1, 1, index, 1, int(min(l.cur.room(), 4*Block))-writeHeader-recordHeader-appendHeader-entryHeader))
	}
	if l.next == nil {
		mustPrepare(t, l)
	}
	cost := align(l.next.room() - s.ReserveBytes - Block + 1)
	if !l.Reserve(cost, false) {
		t.Fatalf("%d bytes refused, %d are free", cost, l.free())
	}
}
