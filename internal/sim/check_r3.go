package sim

import (
	"errors"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/vfs"
)

// nearlyFull reports whether a disk has so little space left that the broker may
// refuse to write, or cannot.
func (d *disk) nearlyFull() bool {
	free, err := d.mem.Free()
	return err == nil && d.s.plan.full && free < d.s.plan.diskReserve+d.s.plan.file
}

// lacksSpace reports whether an error says that there is no space.
func lacksSpace(err error) bool {
	return errors.Is(err, partition.ErrNoSpace) || errors.Is(err, replog.ErrNoSpace) || errors.Is(err, vfs.ErrNoSpace)
}

// checkFullRefusal: R3. While the disk is full a batch is refused with an error that
// its producer tries again after, and never for good. A partition that is parked
// for a damage says so to those who try again, too; one that a full disk parked
// does not come back, which is seen in the end.
func (s *run) checkFullRefusal(br *broker, b *batch, err error) {
	b.part.noSpace = lacksSpace(err)
	if err == nil || !br.server.disk.nearlyFull() {
		return
	}
	for _, known := range []error{
		partition.ErrNoSpace, partition.ErrNotLeader, partition.ErrQueueFull, partition.ErrOutOfOrder, partition.ErrFenced, partition.ErrChainLoading,
		partition.ErrStaleChain, partition.ErrOutboxFull, partition.ErrDamaged, replog.ErrFailed,
	} {
		if errors.Is(err, known) {
			return
		}
	}
	if s.chained(b.part.topic) && rejected(err) {
		return
	}
	s.fail("R3", "the disk is full, and batch %d to %s is refused for good: %v", b.id, b.part.name, err)
}

// checkFullRead: R3. A full disk fails no read.
func (s *run) checkFullRead(p *part, err error) {
	if lacksSpace(err) {
		s.fail("R3", "%s cannot be read while the disk is full: %v", p.name, err)
	}
}

// stillFull: R3. If a partition takes no batch because it says that there is no
// space, long after the last fault, then it does not come back unaided.
func (s *run) stillFull(p *part) {
	if p.noSpace {
		s.fail("R3", "%s takes no batch %v after the last fault: there is no space, it says; %s", p.name, recovery, s.condition())
	}
}
