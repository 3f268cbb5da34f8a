package sim

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

// drawTier makes the part of a plan that is about the cold tier.
func (p *plan) drawTier(r *rand.Rand) {
	p.tier = r.IntN(2) == 0
	p.tierEvery = pick(r, 200*time.Millisecond, time.Second, 3*time.Second)
	p.tierGrace = pick(r, time.Second, 3*time.Second, 10*time.Second)
	p.uploadsMax = pick(r, 1, 2, 5)
	p.storeDelay = pick(r, time.Millisecond, 30*time.Millisecond, 300*time.Millisecond)
	p.storeFails = pick(r, 0, 5, 25, 60)
	// Manifests are in every checkpoint, two of which must fit into a file.
	switch {
	case p.tier && p.full:
		p.file, p.walMax = 128<<10, 512<<10
	case p.tier:
		p.firstFile, p.file, p.walMax = 256<<10, 256<<10, 2<<20
	}
	if p.faultEvery == 0 {
		p.storeFails = 0
	}
}

// tierConfig returns how a life of the broker uses the cold tier.
func (b *broker) tierConfig() node.TierConfig {
	p := b.s.plan
	if !p.tier {
		return node.TierConfig{}
	}
	return node.TierConfig{Tier: cold{b, b.s.store}, Every: p.tierEvery, Grace: p.tierGrace, UploadsMax: p.uploadsMax}
}

// tierTrouble reports whether the broker tells of trouble with the cold tier
// that it may have: faults of the store, or an upload whose partition went, or whose
// commit was lost.
func (b *broker) tierTrouble(e node.Event) bool {
	switch p := b.s.model.part(e.Partition); {
	case errors.Is(e.Err, node.ErrObjectGone):
		return p != nil && len(p.lacks) > 0
	case errors.Is(e.Err, node.ErrSearch):
		return errors.Is(e.Err, errStore)
	}
	// What found no space is known to be garbage, or is tried again.
	if p := b.s.model.part(e.Partition); p != nil && b.s.plan.tier && !errors.Is(e.Err, partition.ErrNoSpace) {
		p.commitFailed[b] = true
	}
	for _, err := range []error{errStore, errLocal, partition.ErrNotLeader, partition.ErrNoSpace, partition.ErrDamaged} {
		if errors.Is(e.Err, err) {
			return b.s.plan.tier
		}
	}
	return false
}

// tierNames are the settings of topics that are about the cold tier.
var tierNames = []string{
	"remote.storage.enable", "remote.log.delete.on.disable", "remote.log.copy.disable",
	"local.retention.bytes", "local.retention.ms", "remote.copy.lag.ms", "remote.copy.lag.bytes",
}

// drawTierConfigs draws what a topic's configuration says about the cold tier.
// A new topic has it most of the time.
func (s *run) drawTierConfigs(c map[string]string, fresh bool) {
	if !s.plan.tier {
		return
	}
	r := s.rng.tier
	if s.plan.full { // small disks are sized for what is local
		c["remote.storage.enable"] = "true"
		c["local.retention.bytes"] = strconv.Itoa(pick(r, 4, 8, 16) << 10)
		if c["retention.bytes"] != "" {
			c["retention.bytes"] = strconv.Itoa(pick(r, 32, 64, 128) << 10)
		}
		return
	}
	kind := r.IntN(10)
	if fresh {
		kind += 2
	}
	switch kind {
	case 0, 1:
		c["remote.storage.enable"], c["remote.log.delete.on.disable"] = "false", "true"
	case 2:
		c["remote.storage.enable"] = "false"
	case 3:
		c["remote.storage.enable"], c["remote.log.copy.disable"] = "true", "true"
	default:
		c["remote.storage.enable"] = "true"
	}
	switch r.IntN(4) {
	case 0:
	case 1:
		c["local.retention.ms"] = strconv.FormatInt((s.plan.length / time.Duration(5+r.IntN(40))).Milliseconds(), 10)
	default:
		c["local.retention.bytes"] = strconv.Itoa(pick(r, 0, 0, 4, 16, 64) << 10)
	}
	if r.IntN(4) == 0 {
		c["remote.copy.lag.ms"] = strconv.Itoa(pick(r, -1, 500, 3000))
		c["remote.copy.lag.bytes"] = strconv.Itoa(pick(r, -1, 8<<10))
	}
}

// tierPlan derives a topic's plan from its configuration, as the broker does.
func tierPlan(t *metadata.Topic) partition.TierPlan {
	is := func(name string) bool { v, _ := t.Configs.Get(name); return v == "true" }
	p := partition.TierPlan{
		Copy: is("remote.storage.enable") && !is("remote.log.copy.disable"), Drop: !is("remote.storage.enable") && is("remote.log.delete.on.disable"),
		CopyLagMs: setting(t, "remote.copy.lag.ms", 0), CopyLagBytes: setting(t, "remote.copy.lag.bytes", 0),
		Local: storage.RetentionSettings{
			Ms: setting(t, "local.retention.ms", storage.Unlimited), Bytes: setting(t, "local.retention.bytes", storage.Unlimited),
			SegmentMs: storage.Unlimited, ActiveSinceMs: storage.Unlimited,
		},
	}
	if p.CopyLagMs < 0 {
		p.CopyLagMs = p.Local.Ms
	}
	if p.CopyLagBytes < 0 {
		p.CopyLagBytes = p.Local.Bytes
	}
	return p
}

// startTierAdmin has the cold tier switched on and off.
func (s *run) startTierAdmin() {
	if !s.plan.tier {
		return
	}
	var turn func()
	turn = func() {
		if s.ending {
			return
		}
		s.after(mean(s.rng.tier, s.plan.length/12), turn)
		if topics := s.model.live(); len(topics) > 0 {
			s.changeTier(topics[s.rng.tier.IntN(len(topics))])
		}
	}
	s.after(s.plan.length/12, turn)
}

// changeTier sets a topic's settings of the cold tier.
func (s *run) changeTier(t *topic) {
	br := s.operable()
	if t.state != live || br == nil {
		return
	}
	c := map[string]string{}
	s.drawTierConfigs(c, false)
	s.setConfigs(br, t, c, tierNames)
}

// collide has something happen to a partition while an upload or a read of its
// objects is under way.
func (s *run) collide(id ident.Partition, r *rand.Rand) {
	if s.ending || r.IntN(12) > 0 {
		return
	}
	kind, when := r.IntN(8), mean(r, 4*s.plan.storeDelay)
	s.after(when, func() {
		p := s.model.part(id)
		br := s.operable()
		if p == nil || p.topic.state != live || s.ending || br == nil {
			return
		}
		switch {
		case kind == 0:
			s.deleteTopic(br, p.topic)
		case kind == 1:
			s.deleteRecords(p, -1)
		case kind < 4:
			s.deleteRecords(p, -2)
		default:
			s.changeTier(p.topic)
		}
	})
}

// part finds a partition that was ever created, or returns nil.
func (m *model) part(id ident.Partition) *part {
	for i := len(m.topics) - 1; i >= 0; i-- {
		if t := m.topics[i]; t.id == id.Topic && int(id.Index) < len(t.parts) {
			return t.parts[id.Index]
		}
	}
	return nil
}

// settleTier waits until the cold tier is as the topics' settings want it, and
// has the checkers look at it.
func (s *run) settleTier() {
	if !s.plan.tier || s.skew > 0 { // graces count by wall clocks, which were set
		return
	}
	limit := s.now.Add(2*recovery + s.plan.tierGrace)
	for still := 0; still < 4; { // an entry may be on its way
		s.during(100 * time.Millisecond)
		s.allUp()
		why := s.tierSettled()
		still++
		if why != "" {
			still = 0
		}
		if s.now.After(limit) {
			s.fail("V1", "the cold tier is not settled %v after the last fault: %s", 2*recovery+s.plan.tierGrace, why)
		}
	}
	s.checkStore()
	for _, b := range s.brokers() {
		for _, t := range b.node.TierStates() {
			if s.newest(t.ID) != b { // what it told as a leader, and is another's now
				continue
			}
			topic, ok := b.node.Image().TopicByID(t.ID.Topic)
			if at := ok && t.CopyConfigured && tierPlan(topic).CopyLagMs == 0; t.Err != nil || at && t.PendingCount > 0 {
				s.fail("V1", "%s: %d segments wait for the cold tier, %d to be deleted there, %v", t.Topic, t.PendingCount, t.Discarding, t.Err)
			}
			if p := s.model.part(t.ID); t.Evict != nil && (p == nil || len(p.lacks) == 0) {
				s.fail("V1", "%s: local retention stops, and no object is gone: %v", t.Topic, t.Evict)
			}
		}
	}
}

// tierSettled tells what is yet to be done, nothing if all is.
func (s *run) tierSettled() string {
	br := s.ready()
	if br == nil {
		return "cluster metadata"
	}
	image := br.node.Image()
	switch {
	case s.store.pending > 0:
		return strconv.Itoa(s.store.pending) + " operations of the store"
	case image.DroppedCount() > 0:
		return strconv.Itoa(image.DroppedCount()) + " deleted topics"
	}
	for _, b := range s.brokers() {
		for _, t := range b.node.TierStates() {
			if s.alone() || s.newest(t.ID) != b {
				continue
			}
			topic, ok := b.node.Image().TopicByID(t.ID.Topic)
			switch {
			case t.Err != nil: // it looks again soon
				return t.Topic + ": " + t.Err.Error()
			case errors.Is(t.Evict, node.ErrSearch): // likewise
				return t.Topic + ": " + t.Evict.Error()
			case ok && t.CopyConfigured && tierPlan(topic).CopyLagMs == 0 && t.PendingCount > 0: // a commit may be on its way
				return t.Topic + ": segments wait"
			}
		}
	}
	for _, o := range s.store.objects { // order: a question
		if !o.named && !s.orphaned(o) && s.now.Sub(o.told) < commitTime {
			return "a commit"
		}
	}
	for t := range image.Topics() {
		plan := tierPlan(t)
		for i := range t.Partitions {
			id := ident.Partition{Topic: t.ID, Index: int32(i)}
			b := s.newest(id)
			if b == nil {
				continue
			}
			at := b.partition(id)
			_, due := at.NextUpload(b.server.now().UnixMilli(), plan)
			switch {
			case at.Tombstones() > 0:
				return t.Name + ": " + strconv.Itoa(at.Tombstones()) + " objects to be deleted"
			case due:
				return t.Name + ": a segment to be uploaded"
			case plan.Drop && at.Tiered().Len() > 0:
				return t.Name + ": a manifest to be dropped"
			}
		}
	}
	return ""
}
