package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/sweep"
)

// orphansMax bounds one listing of orphans.
const orphansMax = 1000

// orphanAge is how old an object must be to be listed: younger ones may belong
// to an upload that is under way.
const orphanAge = time.Hour

// TierStatus implements admin.Broker.
func (b pluginAdmin) TierStatus(ctx context.Context, topic string) (admin.TierStatus, error) {
	out := admin.TierStatus{Store: objstore.Redact(b.s.TierURL), Partitions: []admin.TierPartition{}}
	if _, ok := b.node.Image().Topic(topic); topic != "" && !ok {
		return out, fmt.Errorf("%w: topic %s does not exist", admin.ErrNotFound, topic)
	}
	states, err := ask(ctx, b.Broker, func(n *node.Node) []node.TierState { return n.TierStates() })
	if err != nil {
		return out, err
	}
	for _, s := range states {
		if topic != "" && s.Topic != topic {
			continue
		}
		x := admin.TierPartition{
			Topic: s.Topic, Partition: s.ID.Index, LogStartOffset: int64(s.Offsets.LogStart), LocalLogStartOffset: int64(s.Offsets.LocalStart),
			TieredEndOffset: int64(s.Offsets.LogStart), HighWatermark: int64(s.Offsets.HighWatermark),
			Segments: s.Tiered.Len(), Bytes: s.Tiered.DataBytes(), PendingSegments: s.PendingCount, PendingBytes: s.PendingBytes,
			DeletingSegments: s.Discarding,
		}
		if end, ok := s.Tiered.End(); ok {
			x.TieredEndOffset = int64(end)
		}
		if err := errors.Join(s.Err, s.Evict); err != nil {
			x.Error = err.Error()
		}
		out.Partitions = append(out.Partitions, x)
	}
	return out, nil
}

// Orphans implements admin.Broker.
func (b pluginAdmin) Orphans(ctx context.Context) ([]admin.Orphan, error) {
	r, err := sweep.Orphans(ctx, b.tier.store, b.identity.ClusterID, b.named(ctx), sweep.Options{
		OlderThan: b.c.Now().Add(-orphanAge), Limit: orphansMax,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	out := make([]admin.Orphan, 0, len(r.Orphans)+len(r.Unknown))
	for _, o := range r.Orphans {
		out = append(out, admin.Orphan{Key: o.Key, Bytes: o.Bytes, Modified: o.Modified.UTC().Format(time.RFC3339)})
	}
	for _, o := range r.Unknown {
		out = append(out, admin.Orphan{Key: o.Key, Bytes: o.Size, Modified: o.Modified.UTC().Format(time.RFC3339), Unknown: true})
	}
	return out, nil
}

// named tells what the manifests name now, which is after the objects were
// listed.
func (b pluginAdmin) named(ctx context.Context) sweep.Known {
	type answer struct {
		referenced func(manifest.Segment) bool
		state      sweep.State
	}
	return func(id ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		a, err := ask(ctx, b.Broker, func(n *node.Node) answer {
			if _, ok := n.Image().TopicByID(id.Topic); !ok {
				if n.Image().IsDropped(id.Topic) || !n.Ready() {
					return answer{state: sweep.Unsure} // they go by themselves
				}
				return answer{state: sweep.Gone}
			}
			r := n.Replica(id)
			if r == nil || r.Partition == nil {
				return answer{state: sweep.Unsure}
			}
			if _, err := r.Partition.Offsets(); err != nil {
				return answer{state: sweep.Unsure}
			}
			live, dead := r.Partition.Tiered(), map[manifest.ID]bool{}
			for _, d := range r.Partition.Dead() {
				dead[d.Segment.ID] = true
			}
			return answer{state: sweep.Current, referenced: func(s manifest.Segment) bool {
				i, ok := live.Find(s.Base)
				return ok && live.At(i).ID == s.ID || dead[s.ID]
			}}
		})
		if err != nil {
			return nil, sweep.Unsure
		}
		return a.referenced, a.state
	}
}

// ask runs f on the owner and waits for what it returns.
func ask[T any](ctx context.Context, b *Broker, f func(*node.Node) T) (T, error) {
	done := make(chan T, 1)
	b.owner.post(func(n *node.Node) { done <- f(n) })
	select {
	case v := <-done:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, fmt.Errorf("%w: %w", admin.ErrUnavailable, ctx.Err())
	}
}
