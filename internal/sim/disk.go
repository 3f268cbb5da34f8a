package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// errPower is what every operation gets between the loss of power in the
// middle of a task and the end of that task.
var errPower = errors.New("sim: power lost")

// errSync is an injected failure of a sync.
var errSync = errors.New("sim: sync failed")

// flip is a bit that reads wrong until it is written again.
type flip struct {
	name string
	off  int64
	bit  int64
}

// disk is the broker's disk, with what goes wrong on it.
type disk struct {
	s    *run
	sv   *server
	mem  *vfs.Mem
	fs   *vfs.Faulty
	lost bool // power is lost, and the broker has not noticed

	cutSync   bool   // power is lost before the next sync of the write-ahead log
	cut       int    // power is lost before that many operations from now; 0: not
	failSync  int    // that many syncs from now one fails; 0: none
	failUnder string // of files below this directory
	flips     []flip
	stalled   time.Time // syncs do not return before
}

func newDisk(sv *server, capacity int64) *disk {
	d := &disk{s: sv.s, sv: sv}
	align := []int{1, 512, 4096}[d.s.rng.disk.IntN(3)] // 1: a file system without direct I/O
	d.use(vfs.NewMem(vfs.MemOptions{Capacity: capacity, DirectAlignment: align}))
	return d
}

func (d *disk) use(mem *vfs.Mem) {
	d.mem, d.fs = mem, vfs.NewFaulty(mem, d.inject)
	d.lost, d.cut, d.cutSync, d.failSync = false, 0, false, 0
}

// inject is asked before each operation of the broker.
func (d *disk) inject(op vfs.Op) error {
	d.s.trace.op(op)
	d.s.stats.Ops++
	if d.lost {
		return errPower
	}
	if d.cut > 0 {
		if d.cut--; d.cut == 0 {
			d.lost = true
			if op.Kind == vfs.OpWrite && op.Len > 0 && d.s.rng.disk.IntN(2) == 0 {
				return &vfs.Partial{N: d.s.rng.disk.IntN(int(op.Len)), Err: errPower}
			}
			return errPower
		}
	}
	switch op.Kind {
	case vfs.OpSync, vfs.OpSyncAll:
		if d.cutSync && strings.HasPrefix(op.Name, "wal") {
			d.lost = true
			return errPower
		}
		if d.failSync > 0 && (strings.HasPrefix(op.Name, d.failUnder) || op.Kind == vfs.OpSyncAll) {
			if d.failSync--; d.failSync == 0 {
				d.s.stats.SyncErrors++
				d.sv.log("disk: sync of %s fails", op.Name)
				return &vfs.LostSync{Err: errSync}
			}
		}
	case vfs.OpRead:
		for _, f := range d.flips {
			if f.name == op.Name && op.Off <= f.off && f.off < op.Off+op.Len {
				return &vfs.Corrupt{Bit: (f.off-op.Off)*8 + f.bit}
			}
		}
	case vfs.OpRename: // bits are in blocks, not in names
		kept := d.flips[:0]
		for _, f := range d.flips {
			switch f.name {
			case op.NewName:
				continue
			case op.Name:
				f.name = op.NewName
			}
			kept = append(kept, f)
		}
		d.flips = kept
	case vfs.OpWrite:
		for i, f := range d.flips {
			if f.name == op.Name && op.Off <= f.off && f.off < op.Off+op.Len {
				d.flips = append(d.flips[:i:i], d.flips[i+1:]...)
				break
			}
		}
	}
	return nil
}

// heal ends all that goes wrong on the disk, and all that is about to.
func (d *disk) heal() {
	d.cut, d.cutSync, d.failSync, d.flips, d.stalled = 0, false, 0, nil, time.Time{}
}

// damaged reports whether something below a directory reads wrong.
func (d *disk) damaged(under string) bool {
	for _, f := range d.flips {
		if strings.HasPrefix(f.name, under) {
			return true
		}
	}
	return false
}

// powerLoss leaves of the disk what survives. Bits of the write-ahead log read
// right again, since the later write that proved theirs durable may be lost: a
// flip in the newest durable write cannot be told from a torn tail.
func (d *disk) powerLoss(how vfs.CrashOptions) {
	kept := d.flips[:0]
	for _, f := range d.flips {
		if !strings.HasPrefix(f.name, "wal/") {
			kept = append(kept, f)
		}
	}
	d.flips = kept
	d.use(d.mem.Crash(d.s.rng.disk, how))
	d.s.stats.PowerLosses++
}

// killed leaves everything, as when a process ends.
func (d *disk) killed() {
	d.use(d.mem.Kill())
	d.s.stats.Kills++
}

// list lists the names in a directory, none if there is no such directory.
func (d *disk) list(dir string) []vfs.Entry {
	entries, err := d.mem.List(dir)
	if err != nil {
		return nil
	}
	return entries
}

// usage describes what is on the disk.
func (d *disk) usage() string {
	free, _ := d.mem.Free()
	out := fmt.Sprintf("%d bytes free;", free)
	for _, dir := range []string{"wal", "partitions"} {
		for _, e := range d.list(dir) {
			out += fmt.Sprintf(" %s/%s %d", dir, e.Name, e.Size)
			for _, f := range d.list(dir + "/" + e.Name) {
				out += fmt.Sprintf(" [%s %d]", f.Name, f.Size)
			}
		}
	}
	return out
}

// ballast takes space so that the given number of bytes is left, or gives it
// back if more should be left.
func (d *disk) ballast(left int64) {
	const name = "other-programs"
	_ = d.mem.Remove(name)
	free, err := d.mem.Free()
	if err != nil || free <= left {
		return
	}
	f, err := d.mem.Create(name)
	if err != nil {
		return
	}
	_ = errors.Join(f.Preallocate(free-left), f.Sync(), f.Close(), d.mem.SyncDir("."))
}
