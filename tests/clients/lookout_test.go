//go:build clients

package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lookout sees from outside how groups are, and sends what they read.
type lookout struct {
	cl    *kgo.Client
	admin *kadm.Client
}

func newLookout(t *testing.T, addr string) *lookout {
	t.Helper()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &lookout{cl: cl, admin: kadm.NewClient(cl)}
}

// committed returns the committed offsets of the first partitions of a topic,
// -1 where there is none.
func (l *lookout) committed(ctx context.Context, group, topic string, partitions int) ([]int64, error) {
	all, err := l.admin.FetchOffsets(ctx, group)
	out := slices.Repeat([]int64{-1}, partitions)
	for partition, at := range all[topic] {
		out[partition] = at.At
	}
	return out, err
}

// remove takes a static member out of a group.
func (l *lookout) remove(ctx context.Context, group, instance string) error {
	_, err := l.admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance))
	if err != nil {
		return fmt.Errorf("remove %s from %s: %w", instance, group, err)
	}
	return nil
}

// shares returns how many partitions each member of a group has, in order, and
// the group's state.
func (l *lookout) shares(ctx context.Context, group string) ([]int, string, error) {
	described, err := l.admin.DescribeGroups(ctx, group)
	if err = errors.Join(err, described.Error()); err != nil {
		return nil, "", err
	}
	var out []int
	for _, m := range described[group].Members {
		n := 0
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				n += len(t.Partitions)
			}
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, described[group].State, nil
}

// memberID returns the id that a static member has at the moment.
func (l *lookout) memberID(ctx context.Context, group, instance string) (string, error) {
	described, err := l.admin.DescribeGroups(ctx, group)
	if err = errors.Join(err, described.Error()); err != nil {
		return "", err
	}
	for _, m := range described[group].Members {
		if m.InstanceID != nil && *m.InstanceID == instance {
			return m.MemberID, nil
		}
	}
	return "", fmt.Errorf("%s has no member %s", group, instance)
}

// pause is between two looks at what somebody waits for.
const pause = 50 * time.Millisecond

// divided waits until a group is stable and its members have these numbers of
// partitions; without members it is empty.
func (p *party) divided(ctx context.Context, want ...int) error {
	for {
		got, state, err := p.look.shares(ctx, p.group)
		if err == nil && slices.Equal(got, want) && (state == "Stable" || state == "Empty" && len(want) == 0) {
			return nil
		}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("%s is %s and divided as %v, want %v: %w", p.group, state, got, want, err)
		}
	}
}

// caughtUp waits until everything is committed.
func (p *party) caughtUp(ctx context.Context) error {
	for {
		got, err := p.look.committed(ctx, p.group, p.topic, groupPartitions)
		if err == nil && slices.Equal(got, p.ends) {
			return nil
		}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("%s has committed %v, the partitions end at %v: %w", p.group, got, p.ends, err)
		}
	}
}

// wait waits a moment. It fails if a member has ended by itself.
func (p *party) wait(ctx context.Context) error {
	for name, m := range p.members {
		select {
		case <-m.done:
			if m.out.err != nil {
				return fmt.Errorf("member %s: %w", name, m.out.err)
			}
		default:
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// perRound is how many records one round has for a partition.
const perRound = 25

// send sends one round of records, which say where they are.
func (p *party) send(ctx context.Context) error {
	var records []*kgo.Record
	for partition := range p.ends {
		for range perRound {
			records = append(records, &kgo.Record{
				Topic: p.topic, Partition: int32(partition), Value: p.value(partition, p.ends[partition]),
			})
			p.ends[partition]++
		}
	}
	if err := p.look.cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("send to %s: %w", p.topic, err)
	}
	return nil
}

func (p *party) value(partition int, offset int64) []byte {
	return fmt.Appendf(nil, "%s %d-%d", p.topic, partition, offset)
}

// quiet says whether nothing happens from here on but that records come.
func (p *party) quiet(is bool) {
	if is {
		p.calm = slices.Clone(p.ends)
	} else {
		p.loud = slices.Clone(p.ends)
	}
}

// keepSending sends rounds until it is stopped.
func (p *party) keepSending(ctx context.Context, stop chan struct{}) {
	for p.err == nil {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		p.err = p.send(ctx)
	}
}

// progress waits until every group has committed more than before.
func (l *lookout) progress(ctx context.Context, t *testing.T, all []*party) {
	t.Helper()
	const enough = groupPartitions * perRound
	sum := func(p *party) int64 {
		for {
			got, err := l.committed(ctx, p.group, p.topic, groupPartitions)
			if err == nil {
				n := int64(0)
				for _, offset := range got {
					n += offset
				}
				return n
			}
			if ctx.Err() != nil {
				t.Fatalf("what %s has committed: %v", p.group, err)
			}
			time.Sleep(pause)
		}
	}
	before := map[*party]int64{}
	for _, p := range all {
		before[p] = sum(p)
	}
	for _, p := range all {
		for len(p.members) > 0 && sum(p) < before[p]+enough {
			if err := p.wait(ctx); err != nil {
				t.Logf("%s makes no progress: %v", p.group, err)
				break
			}
		}
	}
}

// unsettled waits until a group that was stable is not, because somebody joins.
func (l *lookout) unsettled(ctx context.Context, t *testing.T, all []*party) {
	t.Helper()
	for {
		for _, p := range all {
			if p.err != nil {
				continue
			}
			if _, state, err := l.shares(ctx, p.group); err == nil && state != "Stable" {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatal("nobody joins")
		}
		time.Sleep(time.Millisecond)
	}
}
