package coordinator

import (
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// shard is one partition of the topic, and the groups in it once they are
// loaded. The coordinator's goroutine owns it.
type shard struct {
	c     *Core
	id    ident.Partition
	p     *partition.Partition
	epoch ident.Epoch

	g        *group.Shard    // nil until it serves
	replayed *group.Shard    // waits for cluster metadata that is new enough; nil if it does not
	image    *metadata.Image // that offsets without a topic id are of, of when loading began; nil once they were compared with it
	unsure   bool            // there may be offsets of topics that are gone
	left     []string        // topics whose offsets could not be removed
	drops    int             // of such offsets, being appended
	held     []request       // wait for those
	queued   bool            // waits for its turn to be loaded
	loading  bool
	failed   error // why it could not be loaded
	retry    time.Time
	stopped  bool // it is in nobody's hands any more
	draining bool

	writer
	rewriter
}

// begin makes the shard of a partition that this broker leads. One without
// records serves at once.
func (c *Core) begin(p *partition.Partition, o partition.Offsets) *shard {
	s := &shard{c: c, id: p.ID(), p: p, epoch: o.LeaderEpoch, image: c.h.Image()}
	c.shards[s.id.Index] = s
	if o.LogStart == o.HighWatermark && c.writes[p] == 0 || mutant.On(mutant.GroupsNotReplayed) {
		s.serve(group.New(c.s.Group, s), 0)
	}
	return s
}

// current reports whether the shard was made of what the partition is now (O1).
func (s *shard) current(p *partition.Partition, o partition.Offsets) bool {
	return s.p == p && s.epoch == o.LeaderEpoch
}

// serve begins to serve with what was loaded, or waits until it can (O8).
func (s *shard) serve(g *group.Shard, bytes int64) {
	now := s.c.now
	s.replayed, s.failed, s.logBytes = g, nil, bytes
	if s.c.compare(); !s.c.knows(g) {
		return
	}
	s.g, s.replayed = g, nil
	g.Start(now)
	s.dropUnknown(now)
}

// stop ends the shard: whoever waits is answered with err. The partition may be
// loaded again, into another shard.
func (s *shard) stop(err error) {
	if s.stopped {
		return
	}
	s.stopped = true
	if s.c.shards[s.id.Index] == s {
		s.c.shards[s.id.Index] = nil
	}
	s.abandon()
	s.replayed = nil
	held := s.held
	s.held = nil
	for _, f := range held {
		f(time.Time{}, nil, err)
	}
	if s.g != nil {
		s.g.Stop(err)
		s.g = nil
	}
}

// drain ends the shard as soon as nothing of it is being appended.
func (s *shard) drain() {
	s.draining = true
	if s.idle() {
		s.stop(ErrNotCoordinator)
	}
}
