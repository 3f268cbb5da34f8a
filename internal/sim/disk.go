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
	rare      rareDisk
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
	d.lost, d.cut, d.cutSync, d.failSync, d.rare = false, 0, false, 0, rareDisk{}
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
	}
	if err := d.injectFlips(op); err != nil {
		return err
	}
	return d.injectRare(op)
}

// heal ends all that goes wrong on the disk, and all that is about to.
func (d *disk) heal() {
	d.cut, d.cutSync, d.failSync, d.stalled = 0, false, 0, time.Time{}
	d.rare.cut, d.rare.failDir = cutNowhere, 0
	d.unflip()
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

// powerLoss leaves of the disk what survives.
func (d *disk) powerLoss(how vfs.CrashOptions) {
	d.use(d.mem.Crash(d.s.rng.disk, how))
	d.surviveFlips()
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
