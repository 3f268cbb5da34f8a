package sim

import (
	"errors"
	"math/rand/v2"
	"sort"
	"strconv"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

// command has a broker propose a metadata command. done is called with what
// became of it, unless the broker goes before.
func (s *run) command(br *broker, c metadata.Command, done func(metadata.Result)) {
	br.asked++
	br.touch()
	answered := false
	br.node.Command(c, func(r metadata.Result) {
		s.answeredOnce(&answered, "command %T", c)
		if !br.answers() {
			return
		}
		br.asked--
		s.log("answer for %T: %v", c, r.Err)
		done(r)
	})
	br.wake()
}

// undecided reports whether an error leaves open what becomes of a command.
func undecided(err error) bool {
	return errors.Is(err, replog.ErrNotLeader) || errors.Is(err, replog.ErrFailed)
}

// register has a node's broker register itself, as often as it takes.
func (s *run) register(sv *server) {
	again := func() { s.after(50*time.Millisecond, func() { s.register(sv) }) }
	br := s.controller()
	if br == nil {
		again()
		return
	}
	answered := false
	s.command(br, metadata.RegisterBroker{NodeID: sv.id, DirectoryID: [16]byte{byte(sv.id)}, Host: "localhost", Port: 9092}, func(r metadata.Result) {
		if answered = true; r.Err != nil {
			again()
		}
	})
	if !s.alone() {
		s.after(commandTime, func() {
			if !answered {
				s.register(sv)
			}
		})
	}
}

// createTopic creates a topic, as soon as the broker is ready.
func (s *run) createTopic(name string) {
	r := s.rng.admin
	again := func() { s.after(100*time.Millisecond, func() { s.createTopic(name) }) }
	br := s.controller()
	if br == nil || br.node.Image().BrokerCount() < len(s.servers) {
		if !s.ending {
			again()
		}
		return
	}
	t := &topic{name: name, configs: s.drawConfigs(r), retentionMs: -1, retentionBytes: -1, factor: s.drawFactor()}
	s.drawTierConfigs(t.configs, true)
	for i := 0; i < 16; i += 8 {
		for j, v := 0, r.Uint64(); j < 8; j++ {
			t.id[i+j] = byte(v >> (8 * j))
		}
	}
	t.keepsAtLeast(t.configs)
	parts := 1 + r.IntN(3)
	for i := range parts {
		t.parts = append(t.parts, newPart(t, i))
	}
	s.model.topics = append(s.model.topics, t)
	s.log("create topic %s %x with %d partitions, %v", name, t.id[:4], parts, t.configs)
	s.askCreate(br, t)
}

// drawConfigs draws a topic's configuration.
func (s *run) drawConfigs(r *rand.Rand) map[string]string {
	c := map[string]string{
		"segment.bytes":        strconv.Itoa(pick(r, 4, 8, 16, 32) << 10),
		"index.interval.bytes": strconv.Itoa(pick(r, 100, 1000, 4096)),
	}
	if s.plan.full {
		c["retention.bytes"] = strconv.Itoa(pick(r, 4, 8, 16) << 10)
		c["segment.bytes"] = strconv.Itoa(pick(r, 8, 16) << 10)
		return c
	}
	switch r.IntN(4) {
	case 0:
		c["retention.ms"] = strconv.FormatInt((s.plan.length / time.Duration(2+r.IntN(8))).Milliseconds(), 10)
	case 1:
		c["retention.bytes"] = strconv.Itoa(pick(r, 0, 8, 32, 64) << 10)
	}
	if r.IntN(3) == 0 {
		c["segment.ms"] = strconv.FormatInt((s.plan.length / 10).Milliseconds(), 10)
	}
	return c
}

func kvs(c map[string]string) []metadata.KV {
	var out []metadata.KV
	for name, v := range c { // order: sorted below
		out = append(out, metadata.KV{Name: name, Value: v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// keepsAtLeast takes a configuration into what the topic may have given up.
func (t *topic) keepsAtLeast(c map[string]string) {
	lower := func(have *int64, name string) {
		if text, ok := c[name]; ok {
			v, _ := strconv.ParseInt(text, 10, 64)
			if *have < 0 || v < *have {
				*have = v
			}
		}
	}
	lower(&t.retentionMs, "retention.ms")
	lower(&t.retentionBytes, "retention.bytes")
	t.dropsTier = t.dropsTier || c["remote.log.delete.on.disable"] == "true"
}

// startAdmin has topics created, changed, emptied and deleted now and then.
func (s *run) startAdmin() {
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.admin, s.plan.length/25), turn)
		s.resolve()
		topics := s.model.live()
		br := s.operable()
		if br == nil || len(topics) == 0 {
			return
		}
		t := topics[s.rng.admin.IntN(len(topics))]
		switch s.rng.admin.IntN(10) {
		case 0:
			if !s.plan.without["admin"] {
				s.deleteTopic(br, t)
			}
		case 1, 2, 3:
			s.changeConfigs(br, t)
		case 4, 5, 6:
			s.deleteRecords(t.parts[s.rng.admin.IntN(len(t.parts))], -2)
		default:
			if s.plan.forced {
				s.log("checkpoint asked for")
				br.node.Checkpoint()
				br.touch()
			}
		}
	}
	s.after(s.plan.length/25, turn)
}

func (s *run) changeConfigs(br *broker, t *topic) {
	c := s.drawConfigs(s.rng.admin)
	if s.plan.full {
		s.drawTierConfigs(c, false)
	}
	s.setConfigs(br, t, c, []string{"retention.bytes", "retention.ms", "segment.ms"})
}

// setConfigs sets some of a topic's settings, and removes those of the named
// ones that are not among them.
func (s *run) setConfigs(br *broker, t *topic, c map[string]string, names []string) {
	t.keepsAtLeast(c)
	var remove []string
	for _, name := range names {
		if _, ok := c[name]; !ok {
			remove = append(remove, name)
		}
	}
	s.log("set configs of %s: %v", t.name, c)
	s.command(br, metadata.SetTopicConfigs{TopicID: t.id, Set: kvs(c), Remove: remove}, func(r metadata.Result) {
		if r.Err != nil && s.alone() && !undecided(r.Err) && !errors.Is(r.Err, metadata.ErrUnknownTopic) && !errors.Is(r.Err, replog.ErrNoSpace) {
			s.fail("M1", "set configs of %s: %v", t.name, r.Err)
		}
	})
}

func (s *run) deleteTopic(br *broker, t *topic) {
	t.state, t.askedDelete = deleting, s.now
	s.log("delete topic %s %x", t.name, t.id[:4])
	s.askDelete(br, t)
}

// definitely reports whether an error says that a command will never be applied.
func definitely(err error) bool {
	return errors.Is(err, replog.ErrNoSpace) || errors.Is(err, node.ErrNotReady)
}

// deleteRecords moves the log start of a partition up: to its high watermark
// (-1), to an offset, or to a random place (-2).
func (s *run) deleteRecords(p *part, offset ident.Offset) {
	br := s.route(p.id)
	if br == nil {
		return
	}
	at, o, ok := br.serves(p.id)
	if !ok {
		return
	}
	upTo := offset
	switch offset {
	case -1:
		upTo = o.HighWatermark
	case -2:
		offset = o.LogStart + ident.Offset(s.rng.admin.Int64N(int64(o.HighWatermark-o.LogStart)+1))
		upTo = offset
	}
	p.deleteUpTo = max(p.deleteUpTo, upTo)
	br.asked++
	br.touch()
	s.log("delete records of %s below %d", p.name, offset)
	at.DeleteRecords(&partition.StartRequest{Offset: offset, Done: func(low ident.Offset, err error) {
		if !br.answers() {
			return
		}
		br.asked--
		s.log("answer for delete records of %s: %d %v", p.name, low, err)
		if err != nil {
			return
		}
		s.stats.RecordsDeleted++
		if low < upTo {
			s.fail("L7", "delete records of %s below %d was answered with low watermark %d", p.name, upTo, low)
		}
		s.sawStart(p, o.LeaderEpoch, low)
	}}, br.server.now().UnixMilli())
	br.wake()
}

// String implements fmt.Stringer.
func (t topicState) String() string {
	return [...]string{"creating", "live", "deleting", "deleted"}[t]
}
