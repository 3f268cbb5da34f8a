package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
)

// errManifestFull: the manifests of all partitions are as large as they may get.
var errManifestFull = errors.New("node: no room for more segments in the cold tier's manifests")

// Tier does in the object store what the node decides. Its methods do not block;
// done is called once, on the owner, in a later event.
type Tier interface {
	// Upload copies a segment into the object store and verifies it.
	Upload(j UploadJob, done func(manifest.Segment, error))
	// Find looks for the objects of a partition's segments, in order, until one is
	// not there, and tells how many are. With an error the store could not tell.
	Find(p ident.Partition, segments []manifest.Segment, done func(found int, err error))
	// Discard deletes objects of a partition that nothing names.
	Discard(p ident.Partition, segments []manifest.Segment, done func(error))
	// DropTopic deletes every object of a topic that does not exist any more.
	DropTopic(id ident.TopicID, done func(error))
}

// UploadJob is one segment to be uploaded.
type UploadJob struct {
	Topic     string
	ID        ident.Partition
	Object    manifest.ID // unique
	Segment   partition.Upload
	Partition *partition.Partition // OpenUpload gives the bytes
}

// TierConfig is how a node uses the cold tier.
type TierConfig struct {
	Tier Tier // nil: there is none
	// Every is how often all partitions are looked at; those that write are
	// looked at as they do.
	Every time.Duration
	// Grace is how long an object stays that the manifest does not name any
	// more, for the readers that use it.
	Grace time.Duration
	// UploadsMax bounds the uploads in flight.
	UploadsMax int
}

// Waits after failures: the first, doubled each time up to the last.
const (
	copyRetryFirst = 500 * time.Millisecond
	copyRetryMax   = 30 * time.Second
)

// discardMax bounds how many objects of a partition are deleted at a time.
const discardMax = 1000

// tiering is the node's memory of what the cold tier does for it.
type tiering struct {
	looked   time.Time
	uploads  int // in flight
	copies   map[ident.Partition]*copying
	waiting  []ident.Partition // for an upload to end, in order of arrival
	dropping map[ident.TopicID]bool
}

// copying is what is under way for a partition.
type copying struct {
	r          *Replica
	busy       bool // an upload, or its commit
	waiting    bool // in tiering.waiting
	discarding bool
	finding    bool
	failures   int
	retry      time.Time
	err        error
	gone       error             // why local retention stops: an object is not found
	verified   *manifest.Segment // uploaded, and its commit was refused for want of space
}

// tick tries what failed, and now and then looks at everything.
func (n *Node) tickTier() {
	t := &n.tier
	if n.c.Tier.Tier == nil || !n.ready.Load() {
		return
	}
	if all := n.now.Sub(t.looked) >= n.c.Tier.Every; all {
		t.looked = n.now
		for topic := range n.Image().Topics() {
			for i := range topic.Partitions {
				n.lookTier(ident.Partition{Topic: topic.ID, Index: int32(i)})
			}
		}
		if n.controller.Load() {
			for d := range n.Image().Dropped() {
				n.dropTopic(d)
			}
		}
		return
	}
	var due []ident.Partition
	for id, c := range t.copies { // order: sorted below
		if c.failures > 0 && !c.busy && !n.now.Before(c.retry) {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, comparePartitions)
	for _, id := range due {
		n.lookTier(id)
	}
}

// lookTier does for a partition whatever is to be done.
func (n *Node) lookTier(id ident.Partition) {
	r := n.Replica(id)
	if r == nil || r.Partition == nil {
		if c := n.tier.copies[id]; c != nil { // its topic was deleted
			c.failures, c.verified, c.gone = 0, nil, nil
			n.idle(id, c)
		}
		return
	}
	n.copy(id, r)
	n.find(id, r)
	n.discard(id, r)
}

func (n *Node) copyOf(id ident.Partition, r *Replica) *copying {
	c := n.tier.copies[id]
	if c == nil || c.r != r {
		c = &copying{r: r}
		n.tier.copies[id] = c
	}
	return c
}

// idle forgets a partition for which nothing is under way.
func (n *Node) idle(id ident.Partition, c *copying) {
	if !c.busy && !c.waiting && !c.discarding && !c.finding && c.gone == nil && c.failures == 0 && c.verified == nil && n.tier.copies[id] == c {
		delete(n.tier.copies, id)
	}
}

// copy begins the upload of a partition's next segment, if there is one.
func (n *Node) copy(id ident.Partition, r *Replica) {
	t := &n.tier
	topic, ok := n.topic(id.Topic)
	if n.c.Tier.Tier == nil || !ok || !n.ready.Load() || n.Replica(id) != r {
		return
	}
	plan := n.c.Plan(topic).Upkeep.Tier
	if !plan.Copy {
		if c := n.tier.copies[id]; c != nil && !c.busy { // what failed is not wanted any more
			c.failures, c.err = 0, nil
			n.idle(id, c)
		}
		return
	}
	c := n.copyOf(id, r)
	defer n.idle(id, c)
	if c.busy || c.waiting || n.now.Before(c.retry) {
		return
	}
	now := n.now.UnixMilli()
	if c.verified != nil {
		n.commitVerified(id, c, plan)
		return
	}
	if _, ok := r.Partition.NextSegment(now, plan); !ok {
		c.failures, c.err = 0, nil // perhaps retention took what failed
		return
	}
	if t.uploads >= n.c.Tier.UploadsMax {
		c.waiting = true
		t.waiting = append(t.waiting, id)
		return
	}
	if err := n.manifestRoom(); err != nil {
		n.copyFailed(id, c, err)
		return
	}
	u, ok := r.Partition.NextUpload(now, plan)
	if !ok {
		return
	}
	c.busy = true
	t.uploads++
	j := UploadJob{Topic: topic.Name, ID: id, Object: n.randomID(), Segment: u, Partition: r.Partition}
	n.c.Tier.Tier.Upload(j, func(s manifest.Segment, err error) {
		t.uploads--
		switch {
		case err != nil && !mutant.On(mutant.CommitFailedUpload):
			n.copyFailed(id, c, err)
		case n.forgotten(id.Topic):
			c.busy = false
			n.c.Tier.Tier.Discard(id, []manifest.Segment{s}, func(error) {}) // an orphan if it fails
		default:
			n.commitCopy(id, c, s)
		}
		n.copyWaiting()
	})
}

// commitVerified tries again to commit an upload for which the log had no room. If
// its segment is not the next one any more, the object is garbage.
func (n *Node) commitVerified(id ident.Partition, c *copying, plan partition.TierPlan) {
	v := *c.verified
	c.verified = nil
	if g, ok := c.r.Partition.NextSegment(n.now.UnixMilli(), plan); ok && v.Base == g.Base && v.End == g.End {
		c.busy = true
		n.commitCopy(id, c, v)
		return
	}
	c.failures, c.err = 0, nil
	n.discardUnnamed(id, c.r, v)
}

// manifestRoom refuses uploads that checkpoints have no room for.
func (n *Node) manifestRoom() error {
	entries := int64(0)
	n.mu.RLock()
	for _, r := range n.partitions { // order: a sum
		if r.Partition != nil {
			entries += int64(r.Partition.Tiered().Len() + r.Partition.Tombstones())
		}
	}
	n.mu.RUnlock()
	if most := n.checkpointShare() / manifest.SegmentBytes; entries >= most {
		return fmt.Errorf("%w: the cold tier has %d segments; a larger wal.file.bytes allows for more, and a larger segment.bytes needs fewer", errManifestFull, entries)
	}
	return nil
}

// copyWaiting gives a free upload to who waits longest.
func (n *Node) copyWaiting() {
	t := &n.tier
	for len(t.waiting) > 0 && t.uploads < n.c.Tier.UploadsMax {
		id := t.waiting[0]
		t.waiting = t.waiting[1:]
		if c := t.copies[id]; c != nil {
			c.waiting = false
			n.copy(id, c.r)
			n.idle(id, c)
		}
	}
}

func (n *Node) copyFailed(id ident.Partition, c *copying, err error) {
	c.busy = false
	c.failures++
	c.retry = n.now.Add(min(copyRetryFirst<<min(c.failures-1, 10), copyRetryMax))
	told := c.err != nil && c.err.Error() == err.Error()
	gone := errors.Is(err, storage.ErrBelowStart) // retention took it meanwhile: that is no trouble
	if !told && !gone && n.Replica(id) == c.r {
		n.report(Event{Partition: id, Topic: c.r.Topic, Err: err, Text: "a segment cannot be copied to the cold tier and is tried again; it stays on local disk"})
	}
	c.err = err
}

// commitCopy makes a verified upload count. Only an entry that was applied and
// did not take it makes the object garbage: what became of a lost one is not
// known.
func (n *Node) commitCopy(id ident.Partition, c *copying, s manifest.Segment) {
	c.r.Partition.CommitUpload(s, n.now.UnixMilli(), func(accepted bool, err error) {
		switch {
		case err != nil:
			if mutant.On(mutant.DiscardUnknown) {
				n.c.Tier.Tier.Discard(id, []manifest.Segment{s}, func(error) {})
			}
			if errors.Is(err, partition.ErrNoSpace) { // never proposed, or never logged
				c.verified = &s
			}
			n.copyFailed(id, c, err)
			return
		case !accepted, mutant.On(mutant.DiscardNamed):
			n.discardUnnamed(id, c.r, s)
		}
		c.busy, c.failures, c.err, c.retry = false, 0, nil, time.Time{}
		if topic, ok := n.topic(id.Topic); ok && n.Replica(id) == c.r {
			c.r.Partition.Evict(n.now.UnixMilli(), n.c.Plan(topic).Upkeep.Tier)
		}
		n.copy(id, c.r)
		n.idle(id, c)
	})
}

// forgotten reports whether a topic was deleted and nothing will delete its
// objects: it was not known then that it would have any.
func (n *Node) forgotten(id ident.TopicID) bool {
	_, ok := n.topic(id)
	return !ok && !n.Image().IsDropped(id)
}

// discardUnnamed deletes the object of an upload that did not come to count,
// unless the manifest names it after all: of an entry that went astray nobody
// knows for certain.
func (n *Node) discardUnnamed(id ident.Partition, r *Replica, s manifest.Segment) {
	if names(r.Partition, &s) && !mutant.On(mutant.DiscardNamed) {
		return
	}
	for _, d := range r.Partition.Dead() {
		if d.Segment.ID == s.ID {
			return // its turn will come
		}
	}
	n.c.Tier.Tier.Discard(id, []manifest.Segment{s}, func(error) {}) // an orphan if it fails
}

// discard deletes objects that the manifest does not name any more (S3): the
// tombstone goes when the object is gone.
func (n *Node) discard(id ident.Partition, r *Replica) {
	dead := slices.Clone(r.Partition.Discardable(n.now.UnixMilli(), n.c.Tier.Grace.Milliseconds(), discardMax))
	if len(dead) == 0 || n.c.Tier.Tier == nil {
		return
	}
	c := n.copyOf(id, r)
	if c.discarding {
		return
	}
	c.discarding = true
	segments := make([]manifest.Segment, 0, len(dead))
	for i := range dead {
		segments = append(segments, dead[i].Segment)
	}
	n.c.Tier.Tier.Discard(id, segments, func(err error) {
		c.discarding = false
		if n.Replica(id) == r && (err == nil || mutant.On(mutant.ForgetUndeleted)) {
			r.Partition.Discarded(dead, n.now.UnixMilli())
		}
		n.idle(id, c)
	})
}

// dropTopic deletes what a deleted topic left in the object store, when no
// upload of it can be under way any more.
func (n *Node) dropTopic(d *metadata.DroppedTopic) {
	t := &n.tier
	if t.dropping[d.ID] || n.now.UnixMilli()-d.DeletedAtMs < n.c.Tier.Grace.Milliseconds() {
		return
	}
	for id, c := range t.copies { // order: any will do
		if id.Topic == d.ID && (c.busy || c.discarding) {
			return
		}
	}
	t.dropping[d.ID] = true
	n.c.Tier.Tier.DropTopic(d.ID, func(err error) {
		if err != nil && !mutant.On(mutant.ForgetUndeleted) {
			delete(t.dropping, d.ID)
			n.report(Event{Topic: d.Name, Err: err, Text: "the objects of a deleted topic cannot be deleted from the cold tier and are tried again"})
			return
		}
		n.Command(metadata.ForgetTopic{TopicID: d.ID}, func(metadata.Result) { delete(t.dropping, d.ID) })
	})
}

// dropLate deletes what a deleted topic left in the object store, if this broker
// led a partition of it until now, and heard of the deletion so late that the
// controller may have done it already: it went on uploading meanwhile.
func (n *Node) dropLate(t *metadata.Topic) {
	if n.c.Tier.Tier == nil || len(n.c.Peers) < 2 {
		return // a broker that is alone deletes a topic and its objects itself
	}
	for d := range n.Image().Dropped() {
		if d.ID == t.ID && n.now.UnixMilli()-d.DeletedAtMs < n.c.Tier.Grace.Milliseconds() {
			return
		}
	}
	led := false
	n.each(t, func(p *partition.Partition) { led = led || p.Leads() })
	if led {
		n.c.Tier.Tier.DropTopic(t.ID, func(error) {}) // orphans if it fails
	}
}

// tiered reports whether a topic may have objects in the cold tier.
func (n *Node) tiered(id ident.TopicID) bool {
	t, ok := n.topic(id)
	if !ok {
		return false
	}
	// What other brokers lead, and upload just now, is not known here.
	found := n.c.Plan(t).Upkeep.Tier.Copy || len(n.c.Peers) > 1
	n.each(t, func(p *partition.Partition) {
		c := n.tier.copies[p.ID()]
		found = found || p.Tiered().Len() > 0 || p.Tombstones() > 0 || c != nil && (c.busy || c.verified != nil)
	})
	return found
}

// TierState is what is known of a partition and the cold tier.
type TierState struct {
	Topic          string
	ID             ident.Partition
	Offsets        partition.Offsets
	Tiered         manifest.List
	PendingCount   int // closed segments that are not in the tier
	PendingBytes   int64
	Discarding     int // objects that wait to be deleted
	Err            error
	Evict          error // why segments that are in the tier stay on the local disk
	CopyConfigured bool
}

// TierStates returns the state of every partition here that is tiered, or was.
func (n *Node) TierStates() []TierState {
	var out []TierState
	for t := range n.Image().Topics() {
		plan := n.c.Plan(t).Upkeep.Tier
		for i := range t.Partitions {
			id := ident.Partition{Topic: t.ID, Index: int32(i)}
			r := n.Replica(id)
			if r == nil || r.Partition == nil {
				continue
			}
			s := TierState{Topic: t.Name, ID: id, Tiered: r.Partition.Tiered(), Discarding: r.Partition.Tombstones(), CopyConfigured: plan.Copy}
			if !plan.Copy && s.Tiered.Len() == 0 && s.Discarding == 0 {
				continue
			}
			s.Offsets, s.Err = r.Partition.Offsets()
			if c := n.tier.copies[id]; c != nil {
				s.Evict = c.gone
				if c.err != nil {
					s.Err = c.err
				}
			}
			if plan.Copy {
				s.PendingCount, s.PendingBytes = r.Partition.Backlog()
			}
			out = append(out, s)
		}
	}
	return out
}
