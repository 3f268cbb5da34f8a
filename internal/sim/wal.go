package sim

import (
	"encoding/binary"
	"strings"
)

const walBlock = 4096

// walWrite is a write in a file of the write-ahead log, found by its header
// (docs/format/wal.md).
type walWrite struct {
	name              string
	off, size         int64 // in the file, without padding
	position, durable int64
}

// walWrites finds all writes on the disk that look valid by their header.
func (d *disk) walWrites() []walWrite {
	var out []walWrite
	le := binary.LittleEndian
	for _, e := range d.list("wal") {
		if !strings.HasSuffix(e.Name, ".wal") {
			continue
		}
		name := "wal/" + e.Name
		f, err := d.mem.Open(name)
		if err != nil {
			continue
		}
		b := make([]byte, e.Size)
		n, _ := f.ReadAt(b, 0)
		f.Close()
		if n < walBlock || string(b[:8]) != "VARVEWAL" {
			continue
		}
		generation, base := le.Uint64(b[24:]), int64(le.Uint64(b[32:]))
		for off := int64(walBlock); off+64 <= int64(n); off += walBlock {
			h := b[off:]
			if string(h[:4]) != "VWRT" || le.Uint64(h[8:]) != generation || int64(le.Uint64(h[16:])) != base+off {
				continue
			}
			size := 64 + int64(le.Uint32(h[40:]))
			if off+size > int64(n) {
				continue
			}
			out = append(out, walWrite{name: name, off: off, size: size, position: base + off, durable: int64(le.Uint64(h[32:]))})
		}
	}
	return out
}

// provenWrites lists the writes that a later one proves to have been durable.
func (d *disk) provenWrites() (proven []walWrite) {
	writes := d.walWrites()
	for _, w := range writes {
		end := w.position + (w.size+walBlock-1)/walBlock*walBlock
		for _, p := range writes {
			if p.position > w.position && p.durable >= end {
				proven = append(proven, w)
				break
			}
		}
	}
	return proven
}

// flipInWAL makes one bit of a write read wrong that a later write proves to
// have been durable. It reports whether there was such a write.
func (d *disk) flipInWAL() bool {
	proven := d.provenWrites()
	if len(proven) == 0 {
		return false
	}
	r := d.s.rng.fault
	w := proven[len(proven)-1-r.IntN(min(len(proven), 12))]
	f := flip{name: w.name, off: w.off + r.Int64N(w.size), bit: int64(r.IntN(8))}
	d.flips = append(d.flips, f)
	d.s.stats.Flips++
	d.sv.log("disk: bit %d of byte %d of %s reads wrong (write at %d, log position %d)", f.bit, f.off, f.name, w.off, w.position)
	return true
}

// flipInSegment makes one bit of a segment or of its index read wrong. The last
// data file of a partition is left alone: its last block may be read to be
// written again.
func (d *disk) flipInSegment() bool {
	var names []string
	sizes := map[string]int64{}
	for _, dir := range d.list("partitions") {
		files := d.list("partitions/" + dir.Name)
		for i, e := range files {
			if i < len(files)-2 && e.Size > 0 {
				name := "partitions/" + dir.Name + "/" + e.Name
				names = append(names, name)
				sizes[name] = e.Size
			}
		}
	}
	if len(names) == 0 {
		return false
	}
	r := d.s.rng.fault
	name := names[r.IntN(len(names))]
	f := flip{name: name, off: r.Int64N(sizes[name]), bit: int64(r.IntN(8))}
	d.flips = append(d.flips, f)
	d.s.stats.Flips++
	d.sv.log("disk: bit %d of byte %d of %s reads wrong", f.bit, f.off, f.name)
	return true
}
