package replog

import (
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
)

// Groups for which the rest of the current file of the write-ahead log and the next
// one have no room get it although nothing else is written: the log moves on, so that
// another file is made. It does not for more than two files could ever hold.
func TestRoomForMovesTheLogOn(t *testing.T) {
	f := newFollower(t, small(0))
	for f.e.wal.Left(0) > 72<<10 { // a block or two are left of the current file
		if err := f.e.Propose(aloneID, []byte(strings.Repeat("x", 3000)), nil, false); err != nil {
			t.Fatal(err)
		}
		f.work()
	}
	const groups = 6
	tail := f.e.wal.Tail()
	for range 5 {
		if f.e.RoomFor(9) {
			t.Fatal("there is room for more than two files hold")
		}
		f.tick()
	}
	if f.e.wal.Tail() != tail {
		t.Fatal("the log moves on for what has no room there either")
	}
	if f.e.RoomFor(groups) {
		t.Fatal("there is room at once")
	}
	for range 5 {
		f.tick()
		if f.e.RoomFor(groups) {
			return
		}
	}
	t.Fatalf("no room for %d groups: %d bytes left, %+v", groups, f.e.wal.Left(wal.Block), f.e.Stats())
}
