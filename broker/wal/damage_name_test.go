package wal

import "testing"

// The last write of a file is damaged, and the first one of the next file, which
// proves that it was durable, is torn: the damage is in the first of the two.
func TestDamageBeforeATornFirstWrite(t *testing.T) {
	disk, writes, first := writtenDisk(t)
	last, torn := writes[first-1], writes[first]
	flip(t, disk, last.file, last.off+2000)
	for _, w := range writes[first+1:] { // were never written
		change(t, disk, w.file, w.off, w.extent, func(b []byte) { clear(b) })
	}
	change(t, disk, torn.file, torn.off+Block, torn.extent-Block, func(b []byte) { clear(b) })
	wantCorrupt(t, disk, smallSettings(2), last.file, last.off)
}
