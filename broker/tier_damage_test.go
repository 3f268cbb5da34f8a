package broker

import (
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/admin"
)

// TestWrongEpochIsNotUploaded: a closed segment of which a batch has a wrong leader
// epoch, which no checksum covers, does not reach the store, where it would be
// wrong for ever. The operator is told what is wrong.
func TestWrongEpochIsNotUploaded(t *testing.T) {
	c := newCold(t)
	defer c.end(t)
	c.store.down.Store(true)
	c.topic("t", nil)
	c.produce("t", 0, 300)
	c.wait("an upload", func(p admin.TierPartition) bool { return p.PendingSegments >= 2 && p.Error != "" })
	dirs, err := c.fs.List("partitions")
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, d := range dirs {
		f, err := c.fs.Open("partitions/" + d.Name + "/00000000000000000000.log")
		if err != nil {
			continue
		}
		if size, err := f.Size(); err == nil && size > 1<<19 {
			var b [1]byte
			if _, err := f.ReadAt(b[:], 15); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 2
			if _, err := f.WriteAt(b[:], 15); err != nil {
				t.Fatal(err)
			}
			flipped++
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if flipped != 1 {
		t.Fatalf("%d segments were damaged", flipped)
	}
	c.store.down.Store(false)
	p := c.wait("a refusal", func(p admin.TierPartition) bool { return strings.Contains(p.Error, "of leader epoch") })
	if p.Segments != 0 || !strings.Contains(p.Error, "00000000000000000000.log at byte 0, offset 0") {
		t.Errorf("%+v", p)
	}
}
