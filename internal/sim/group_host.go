package sim

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
)

// errLost is a request whose answer did not come: whether it was done is not
// known.
var errLost = errors.New("sim: no answer")

// groupHost is the group coordinator of one life of the broker, and the broker
// as that sees it. It implements coordinator.Edge.
type groupHost struct {
	w     *groupWorld
	b     *broker
	core  *coordinator.Core
	armed time.Time
}

// coordinator returns that of a broker, nil if it is not ready.
func (w *groupWorld) coordinator(b *broker) *groupHost {
	if !b.lives() || !b.node.Ready() {
		return nil
	}
	at := &w.hosts[b.server.id-1]
	if *at == nil || (*at).b != b {
		*at = w.newHost(b)
	}
	return *at
}

// find returns the broker that a client asks about a group: the one that it
// found last, or any that says that it leads the group's partition.
func (w *groupWorld) find(g *simGroup) *broker {
	if b := g.at; b != nil && b.lives() && w.rng.IntN(20) > 0 {
		return b
	}
	g.at = nil
	any := w.s.ready()
	if any == nil {
		return nil
	}
	if t, ok := any.node.Image().Topic(coordinator.Topic); ok {
		any = w.s.route(ident.Partition{Topic: t.ID, Index: coordinator.PartitionFor(g.id, int32(len(t.Partitions)))})
	}
	g.at = any
	return any
}

func (w *groupWorld) newHost(b *broker) *groupHost {
	h := &groupHost{w: w, b: b}
	c := group.DefaultConfig()
	c.MinSessionTimeout, c.InitialRebalanceDelay = 100*time.Millisecond, w.plan.initialDelay
	if w.plan.retention > 0 {
		c.OffsetsRetention, c.OffsetsRetentionCheck = w.plan.retention, time.Second
	}
	c.Observe = h.observe
	c.Entropy = func() (b [16]byte) {
		for i := range b {
			b[i] = byte(w.rng.Uint32())
		}
		return b
	}
	h.core = coordinator.NewCore(h, coordinator.Settings{
		Group: c, Partitions: w.plan.parts, ReplicationFactor: 3, SegmentBytes: 8 << 10, RewriteBytes: w.plan.rewriteBytes, SnapshotBytes: w.plan.snapshotBytes,
	}, slog.New(groupLog{w.s}))
	h.advance()
	return h
}

// Ready implements coordinator.Broker.
func (h *groupHost) Ready() bool { return h.b.node.Ready() && h.b.node.Image().BrokerCount() > 0 }

// Image implements coordinator.Broker.
func (h *groupHost) Image() *metadata.Image { return h.b.node.Image() }

// Replica implements coordinator.Broker.
func (h *groupHost) Replica(id ident.Partition) *node.Replica { return h.b.node.Replica(id) }

// Post implements coordinator.Broker: what is posted comes in order.
func (h *groupHost) Post(f func()) { h.b.later(10*time.Microsecond, f) }

// Command implements coordinator.Broker: commands go to the controller, and its
// answer comes back, if it does not end before.
func (h *groupHost) Command(c metadata.Command, done func(metadata.Result)) {
	h.Post(func() {
		s := h.w.s
		to := s.controller()
		if to == nil {
			done(metadata.Result{Err: node.ErrNotReady})
			return
		}
		answered := false
		answer := func(r metadata.Result) {
			if !answered {
				answered = true
				done(r)
			}
		}
		s.command(to, c, func(r metadata.Result) { h.Post(func() { answer(r) }) })
		if !s.alone() {
			h.b.later(commandTime, func() { answer(metadata.Result{Err: node.ErrNotReady}) })
		}
	})
}

// Confirm implements coordinator.Broker.
func (h *groupHost) Confirm(id ident.Partition, done func(error)) {
	h.Post(func() { h.b.node.Confirm(id, done) })
}

// Run implements coordinator.Broker.
func (h *groupHost) Run(f func()) {
	h.b.later(mean(h.w.rng, h.w.s.plan.doDelay), func() {
		if f(); h.b.answers() {
			h.advance()
		}
	})
}

// Later implements coordinator.Edge.
func (h *groupHost) Later(f func()) {
	h.b.later(10*time.Microsecond, func() {
		h.core.Turn(h.b.server.now(), f)
		h.advance()
	})
}

// advance lets the coordinator work, and has it called again when it wants to be.
func (h *groupHost) advance() {
	now := h.b.server.now()
	next := h.core.Advance(now)
	if !h.armed.IsZero() && !next.Before(h.armed) {
		return
	}
	h.armed = next
	h.b.later(max(next.Sub(now), time.Millisecond), func() {
		if h.armed.Equal(next) {
			h.armed = time.Time{}
		}
		h.advance()
	})
}

// observe is told what happens to groups.
func (h *groupHost) observe(e group.Event) {
	h.w.s.log("group %s: event %d, member %s, generation %d, %s", e.GroupID, e.Kind, e.MemberID, e.Generation, e.Reason)
	switch e.Kind {
	case group.EventRebalance:
		h.w.s.stats.Rebalances++
	case group.EventStable:
		h.w.s.stats.Generations++
	case group.EventDeleted:
		for _, g := range h.w.groups {
			if g.id == e.GroupID {
				g.incarnate()
			}
		}
	}
}

// groupLog puts what the coordinator reports into the trace.
type groupLog struct{ s *run }

// Enabled implements slog.Handler.
func (l groupLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (l groupLog) Handle(_ context.Context, r slog.Record) error {
	text := ""
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	l.s.log("coordinator: %s%s", r.Message, text)
	return nil
}

// WithAttrs implements slog.Handler.
func (l groupLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l groupLog) WithGroup(string) slog.Handler { return l }

// ask is one request to the coordinator of a group.
type ask struct {
	g        *simGroup
	what     string
	at       time.Time
	deadline time.Time
	life     *broker     // that it was sent to
	answered bool        // by the coordinator
	over     bool        // the client knows
	done     func(error) // of the client
}

// fetchOffsets is the request that tells committed offsets.
const fetchOffsets = "fetch offsets"

// ask sends a request to the coordinator of a group. do is called with its shard
// when it arrives, and calls answer once; done is called once, with the error of
// the answer or with errLost.
func (w *groupWorld) ask(g *simGroup, what string, patience time.Duration, do func(h *groupHost, now time.Time, s *group.Shard, answer func(error)), done func(error)) {
	s := w.s
	a := &ask{g: g, what: what, at: s.now, deadline: s.now.Add(patience), life: w.find(g), done: done}
	w.asks = append(w.asks, a)
	if a.life == nil {
		s.after(mean(w.rng, w.plan.netDelay), func() { w.over(a, errLost) })
		return
	}
	a.life.server.after(mean(w.rng, w.plan.netDelay), func() {
		h := w.coordinator(a.life)
		if h == nil {
			w.over(a, errLost)
			return
		}
		answer := func(err error) {
			s.answeredOnce(&a.answered, "group %s: %s", g.id, what)
			if !a.life.answers() {
				return
			}
			if errors.Is(err, coordinator.ErrNotCoordinator) || errors.Is(err, coordinator.ErrUnavailable) {
				g.at = nil // the client looks for the coordinator again
			}
			if !s.ending && w.rng.IntN(100) < w.plan.lossPercent {
				s.log("group %s: the answer of %s is lost: %v", g.id, what, err)
				s.after(mean(w.rng, 10*w.plan.netDelay), func() { w.over(a, errLost) })
				return
			}
			s.after(mean(w.rng, w.plan.netDelay), func() { w.over(a, err) })
		}
		call := h.core.Do
		if what == fetchOffsets {
			call = h.core.Read
		}
		call(a.life.server.now(), g.id, func(now time.Time, sh *group.Shard, err error) {
			if err != nil {
				answer(err)
				return
			}
			if epoch := h.epoch(g); g.served[epoch].IsZero() {
				g.served[epoch] = s.now
				if g.servedBy != nil && g.servedBy != a.life.server {
					s.stats.CoordinatorMoves++
					s.log("group %s: node %d coordinates it now, node %d did", g.id, a.life.server.id, g.servedBy.id)
				}
				g.servedBy = a.life.server
				g.mayBeAnother()
			}
			do(h, now, sh, answer)
		})
		h.advance()
	})
}

// over tells the client.
func (w *groupWorld) over(a *ask, err error) {
	if a.over {
		return
	}
	a.over = true
	for i, other := range w.asks {
		if other == a {
			w.asks = append(w.asks[:i], w.asks[i+1:]...)
			break
		}
	}
	a.done(err)
}

// expireAsks tells clients whose broker is gone, or who waited for too long.
func (w *groupWorld) expireAsks() {
	for _, a := range append([]*ask(nil), w.asks...) {
		if a.life != nil && !a.life.lives() || w.s.now.After(a.deadline) {
			w.over(a, errLost)
		}
	}
}

// epoch returns the one under which the broker leads the partition of a group.
func (h *groupHost) epoch(g *simGroup) ident.Epoch {
	t, ok := h.Image().Topic(coordinator.Topic)
	if !ok {
		return -1
	}
	at := h.b.partition(ident.Partition{Topic: t.ID, Index: coordinator.PartitionFor(g.id, int32(len(t.Partitions)))})
	if at == nil {
		return -1
	}
	return at.LeaderEpoch()
}
