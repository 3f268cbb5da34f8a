package sim

import (
	"errors"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/vfs"
)

// deaf has a run go on when a broker complains of itself. The hunt for planted
// bugs sets it, so that what a bug does to clients is seen, if it does anything.
var deaf bool

// checkReport: the broker itself. It reports nothing that no fault explains.
func (b *broker) checkReport(e node.Event) {
	s := b.s
	expected := errors.Is(e.Err, errSync) || errors.Is(e.Err, replog.ErrNoSpace) || errors.Is(e.Err, replog.ErrFailed) || errors.Is(e.Err, errLoad) || b.tierTrouble(e) || errors.Is(e.Err, vfs.ErrNoSpace) && s.plan.full
	if p := s.model.part(e.Partition); p != nil && !s.alone() && p.topic.state != live {
		// Its deletion was applied, and after a restart is not known to be
		// committed yet: the replica begins again without its log.
		expected = true
	}
	if !expected && !deaf && !b.server.disk.lost && len(b.server.disk.flips) == 0 {
		s.fail("self", "broker reports without a fault: %s (topic %s, partition %v): %v", e.Text, e.Topic, e.Partition, e.Err)
	}
}

// checkStart: the broker itself. It starts, unless a fault keeps it from that.
func (sv *server) checkStart(err error) {
	if err != nil {
		sv.s.fail("self", "broker %d does not start: %v", sv.id, err)
	}
}
