package sim

import (
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

// flip is a bit that reads wrong until it is written again.
type flip struct {
	name string
	off  int64
	bit  int64

	kept    bool // what is written there may be what was read there
	was     byte // what is right there, if kept
	over    bool // it was written over
	written bool // what is wrong is on the disk
}

// hits reports whether an operation on a range of a file touches the bit.
func (f *flip) hits(name string, op vfs.Op) bool {
	return f.name == name && op.Off <= f.off && f.off < op.Off+op.Len
}

// injectFlips gives reads the bits that read wrong, and follows the files.
func (d *disk) injectFlips(op vfs.Op) error {
	d.settleFlips()
	name := d.nameOf(op.Name)
	kept := d.flips[:0]
	var wrong error
	for _, f := range d.flips {
		switch {
		case op.Kind == vfs.OpRead && f.hits(name, op) && !f.written && wrong == nil:
			wrong = &vfs.Corrupt{Bit: (f.off-op.Off)*8 + f.bit}
		case op.Kind == vfs.OpWrite && f.hits(name, op):
			if !f.kept {
				continue
			}
			f.over = true
		case op.Kind == vfs.OpRemove && f.name == op.Name, op.Kind == vfs.OpRename && f.name == op.NewName:
			continue
		case op.Kind == vfs.OpRename && f.name == op.Name: // bits are in blocks, not in names
			f.name = op.NewName
		}
		kept = append(kept, f)
	}
	d.flips = kept
	return wrong
}

// surviveFlips finds out which bits still read wrong after a loss of power. Those
// of a write of the log stay as long as a later write proves that it was durable:
// a flip in the newest durable write cannot be told from a torn tail.
func (d *disk) surviveFlips() {
	if len(d.flips) == 0 {
		return
	}
	proven := d.provenWrites()
	kept := d.flips[:0]
	for _, f := range d.flips {
		stays := !strings.HasPrefix(f.name, "wal/") || f.off < walBlock
		for _, w := range proven {
			stays = stays || w.name == f.name && w.off <= f.off && f.off < w.off+w.size
		}
		if f.kept {
			switch d.byteAt(f.name, f.off) {
			case f.was:
				f.written = false
			case f.was ^ 1<<f.bit:
				f.written = true
			default:
				stays = false
			}
		}
		if stays {
			kept = append(kept, f)
		}
	}
	d.s.stats.FlipsOutlast += len(kept)
	d.flips = kept
}

// flipSomewhere has a bit read wrong where it may, on a machine that runs, and
// perhaps power lost with it, now or in the next large write.
func (sv *server) flipSomewhere() {
	r := sv.s.rng.rare
	d := sv.disk
	if len(d.flips) > 2 {
		sv.mend()
		return
	}
	ok := false
	switch r.IntN(4) {
	case 0:
		ok = d.flipInHeader()
	case 1:
		was := d.s.rng.fault
		d.s.rng.fault = r // what is drawn for the flip is this fault's
		ok = d.flipInWAL()
		d.s.rng.fault = was
	default:
		ok = d.flipInNewest()
	}
	if !ok {
		return
	}
	sv.s.after(mean(r, 4*sv.s.plan.rareEvery), func() {
		if len(d.flips) > 0 {
			sv.mend()
		}
	})
	switch r.IntN(4) {
	case 0:
		sv.log("fault: power is lost")
		sv.down(true)
	case 1:
		d.armCut()
	case 2:
		sv.down(false)
	}
}

// flipInHeader makes one bit of the header of a log file read wrong. It reports
// whether there was one.
func (d *disk) flipInHeader() bool {
	var names []string
	for _, e := range d.list("wal") {
		if strings.HasSuffix(e.Name, ".wal") {
			names = append(names, "wal/"+e.Name)
		}
	}
	if len(names) == 0 {
		return false
	}
	r := d.s.rng.rare
	f := flip{name: names[r.IntN(len(names))], off: r.Int64N(80), bit: int64(r.IntN(8))}
	d.flips = append(d.flips, f)
	d.s.stats.HeaderFlips++
	d.sv.log("disk: bit %d of byte %d of the header of %s reads wrong", f.bit, f.off, f.name)
	return true
}

// flipInNewest makes one bit of the newest segment of a partition, or of its
// index, read wrong: of what was written, which may be read to be written again.
func (d *disk) flipInNewest() bool {
	type file struct {
		name string
		size int64
	}
	var files []file
	for _, dir := range d.list("partitions") {
		in := d.list("partitions/" + dir.Name)
		for _, e := range in[max(len(in)-2, 0):] {
			if e.Size > 0 {
				files = append(files, file{"partitions/" + dir.Name + "/" + e.Name, e.Size})
			}
		}
	}
	if len(files) == 0 {
		return false
	}
	r := d.s.rng.rare
	at := files[r.IntN(len(files))]
	f := flip{name: at.name, off: r.Int64N(at.size), bit: int64(r.IntN(8)), kept: true}
	f.was = d.byteAt(f.name, f.off)
	d.flips = append(d.flips, f)
	d.s.stats.NewestFlips++
	d.sv.log("disk: bit %d of byte %d of %s reads wrong", f.bit, f.off, f.name)
	return true
}

// byteAt returns a byte of a file as it is on the disk, 0 if it is not there.
func (d *disk) byteAt(name string, off int64) byte {
	f, err := d.mem.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	var b [1]byte
	_, _ = f.ReadAt(b[:], off)
	return b[0]
}

// settleFlips finds out what became of bits that were written over: what was read
// wrong may have been written again as it was read, and is on the disk then.
func (d *disk) settleFlips() {
	kept := d.flips[:0]
	for _, f := range d.flips {
		if !f.kept || !f.over {
			kept = append(kept, f)
			continue
		}
		f.over = false
		switch d.byteAt(f.name, f.off) {
		case f.was ^ 1<<f.bit:
			f.written = true
			kept = append(kept, f)
		case f.was: // right again, but for one that was never on the disk
		default: // something else is there now
		}
	}
	d.flips = kept
}

// unflip puts all bits right again. A broker that wrote a wrong one again may have
// it in memory as well, and must not go on.
func (d *disk) unflip() {
	d.settleFlips()
	for _, f := range d.flips {
		if f.written {
			d.rare.copied = true
			d.put(f.name, f.off, []byte{f.was})
		}
	}
	d.flips = nil
}

// checkRefusal: a broker that refuses to start says which file is damaged: one
// that reads wrong.
func (sv *server) checkRefusal(err error) {
	for _, f := range sv.disk.flips {
		if strings.Contains(err.Error(), f.name) {
			return
		}
	}
	sv.s.fail("repair", "broker %d refuses to start, and names no file that reads wrong (%+v): %v", sv.id, sv.disk.flips, err)
}
