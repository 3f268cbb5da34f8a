package sim

import (
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

// rareDisk is what is about to go wrong on a disk that the rare faults want.
type rareDisk struct {
	cut     cutWrite
	cutHow  vfs.CrashOptions  // what is left then
	how     *vfs.CrashOptions // what the loss of power that is there leaves; nil: as the plan says
	copied  bool              // the broker may have a wrong bit in memory that reads right again
	failDir int               // that many syncs of directories from now one fails; 0: none
	// names are those that files of the log have got since they were opened.
	names map[string]string
}

// cutWrite is where power is lost in the next log write of several blocks.
type cutWrite int

const (
	cutNowhere cutWrite = iota
	cutInside           // some of it was handed to the disk
	cutBehind           // all of it was, and its sync was not
	cutNow              // at the next sync
)

// startRareFaults has something of the rare kind happen now and then.
func (s *run) startRareFaults() {
	if s.plan.rareEvery == 0 {
		return
	}
	var turn func()
	turn = func() {
		if !s.faulty() {
			return
		}
		s.after(mean(s.rng.rare, s.plan.rareEvery), turn)
		s.rareFault()
	}
	s.after(mean(s.rng.rare, s.plan.rareEvery), turn)
}

// rareFault lets one thing of the rare kind go wrong.
func (s *run) rareFault() {
	r, p := s.rng.rare, s.plan
	sv := s.servers[r.IntN(len(s.servers))]
	kind := r.IntN(5)
	if kind == 4 && p.lag && !s.alone() {
		s.net.leaveBehind(sv.id)
		return
	}
	if sv.broker == nil || sv.stopping {
		return
	}
	switch {
	case kind <= 1 && p.cutWrite:
		sv.disk.armCut()
	case kind == 2 && p.flipAny:
		sv.flipSomewhere()
	case kind == 3 && p.syncDir:
		if r.IntN(2) == 0 {
			sv.disk.rare.failDir = 1 + r.IntN(3)
		} else {
			sv.disk.failSync, sv.disk.failUnder = 1+r.IntN(6), "partitions"
		}
	}
}

// armCut has power lost in the next log write of several blocks, or between it
// and its sync, so that any part of it may be there afterwards.
func (d *disk) armCut() {
	r := d.s.rng.rare
	d.rare.cut = pick(r, cutInside, cutBehind, cutBehind)
	d.rare.cutHow = vfs.CrashOptions{Keep: 0.2 + 0.7*r.Float64(), Tear: r.IntN(3) > 0, Reorder: r.IntN(3) > 0}
	d.sv.log("fault: power will be lost in a large log write")
}

// inLog reports whether a file is in the write-ahead log, by the name that it was
// opened by: it gets the one that it has there when it is made.
func (d *disk) inLog(name string) bool { return strings.HasSuffix(d.nameOf(name), ".wal") }

// nameOf returns the name that a file of the log has now.
func (d *disk) nameOf(opened string) string {
	if now, ok := d.rare.names[opened]; ok {
		return now
	}
	return opened
}

// renamed notes a new name of a file of the log.
func (d *disk) renamed(op vfs.Op) {
	if d.rare.names == nil {
		d.rare.names = map[string]string{}
	}
	delete(d.rare.names, op.NewName)
	if strings.HasPrefix(op.NewName, "wal/") {
		d.rare.names[op.Name] = op.NewName
	}
}

// loseWrite has power lost in a large write of the log.
func (d *disk) loseWrite(op vfs.Op) {
	d.s.stats.CutWrites++
	d.sv.log("power: lost in a write of %d bytes to %s, %+v", op.Len, d.nameOf(op.Name), d.rare.cutHow)
	how := d.rare.cutHow
	d.lost, d.rare.cut, d.rare.how = true, cutNowhere, &how
}

// injectRare is asked before each operation that no other fault hits.
func (d *disk) injectRare(op vfs.Op) error {
	switch op.Kind {
	case vfs.OpRename:
		d.renamed(op)
	case vfs.OpSyncDir:
		if d.rare.failDir > 0 {
			if d.rare.failDir--; d.rare.failDir == 0 {
				d.s.stats.DirSyncErrors++
				d.sv.log("disk: sync of directory %s fails", op.Name)
				return errSync
			}
		}
	case vfs.OpWrite:
		if op.Len < 2*walBlock || !d.inLog(op.Name) {
			return nil
		}
		d.s.stats.LargeWrites++
		switch d.rare.cut {
		case cutInside:
			d.loseWrite(op)
			return &vfs.Partial{N: d.s.rng.rare.IntN(int(op.Len)), Err: errPower}
		case cutBehind:
			d.rare.cut = cutNow
		}
	case vfs.OpSync:
		if d.rare.cut == cutNow && d.inLog(op.Name) {
			d.loseWrite(op)
			return errPower
		}
	}
	return nil
}
