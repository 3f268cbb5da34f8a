package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/tests/clients/scenario"
)

var strategies = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"roundrobin":         kgo.RoundRobinBalancer(),
	"sticky":             kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

// events notes what happens to a member. The client calls back from goroutines
// of its own.
type events struct {
	topic string
	mu    sync.Mutex
	list  []scenario.Event
}

func (e *events) add(more ...scenario.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, more...)
}

func (e *events) assigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	parts := append([]int32{}, topics[e.topic]...)
	e.add(scenario.Event{Assigned: &parts})
}

func (e *events) revoked(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	parts := append([]int32{}, topics[e.topic]...)
	e.add(scenario.Event{Revoked: &parts})
}

func member(ctx context.Context, addr string, p scenario.Member) (scenario.Membership, error) {
	strategy, ok := strategies[p.Strategy]
	if !ok {
		return scenario.Membership{}, fmt.Errorf("no strategy %q", p.Strategy)
	}
	e := &events{topic: p.Topic}
	opts := []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.ConsumerGroup(p.Group), kgo.ConsumeTopics(p.Topic), kgo.Balancers(strategy),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(e.assigned), kgo.OnPartitionsRevoked(e.revoked), kgo.OnPartitionsLost(e.revoked),
	}
	if p.Instance != "" {
		opts = append(opts, kgo.InstanceID(p.Instance))
	}
	if p.Exact {
		opts = append(opts, kgo.KeepControlRecords())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return scenario.Membership{}, err
	}
	for err == nil {
		_, missing := os.Stat(p.Until)
		if err = e.poll(ctx, cl); missing == nil {
			break
		}
	}
	// Static members do not leave.
	cl.CloseAllowingRebalance()
	return scenario.Membership{Events: e.list}, err
}

// poll reads what has come and commits it.
func (e *events) poll(ctx context.Context, cl *kgo.Client) error {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	fetches := cl.PollFetches(short)
	defer cl.AllowRebalance()
	for _, f := range fetches.Errors() {
		var session *kgo.ErrGroupSession
		switch {
		case errors.As(f.Err, &session): // the client joins again
			e.add(scenario.Event{Failed: f.Err.Error()})
		case !errors.Is(f.Err, context.DeadlineExceeded):
			return f.Err
		}
	}
	if fetches.NumRecords() == 0 {
		return ctx.Err()
	}
	for _, r := range fetches.Records() {
		if !r.Attrs.IsControl() {
			g := got(r)
			e.add(scenario.Event{Record: &g})
		}
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		e.add(scenario.Event{Failed: err.Error()})
		return ctx.Err()
	}
	var done []scenario.Place
	for partition, at := range cl.CommittedOffsets()[e.topic] {
		done = append(done, scenario.Place{Partition: partition, Offset: at.Offset})
	}
	e.add(scenario.Event{Committed: done})
	return nil
}

func positions(ctx context.Context, addr string, p scenario.Positions) (scenario.Positioned, error) {
	var out scenario.Positioned
	cl, err := client(addr, kgo.ConsumerGroup(p.Group), kgo.ConsumeTopics(p.Topic), kgo.DisableAutoCommit())
	if err != nil {
		return out, err
	}
	defer cl.Close()
	n := 0
	for n < 10 {
		records, err := poll(ctx, cl)
		if err != nil {
			return out, err
		}
		n += len(records)
	}
	out.Read = &n
	note := kgo.Record{Topic: p.Topic, Offset: 3, LeaderEpoch: -1}
	if err := cl.CommitRecords(kgo.PreCommitFnContext(ctx, annotate), &note); err != nil {
		return out, err
	}
	before, err := committed(ctx, addr, p.Group, p.Topic)
	if err != nil {
		return out, err
	}
	out.Committed, out.Metadata = &before.At, &before.Metadata
	cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.Topic: {0: {Epoch: -1, Offset: 2}}})
	records, err := poll(ctx, cl)
	if err != nil {
		return out, err
	}
	out.Sought = &records[0].Offset
	if err := cl.CommitRecords(ctx, &kgo.Record{Topic: p.Topic, Offset: 9, LeaderEpoch: -1}); err != nil {
		return out, err
	}
	after, err := committed(ctx, addr, p.Group, p.Topic)
	out.After = &after.At
	return out, err
}

// annotate gives the offsets of a commit metadata.
func annotate(q *kmsg.OffsetCommitRequest) error {
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			q.Topics[i].Partitions[j].Metadata = kmsg.StringPtr("note")
		}
	}
	return nil
}

// committed asks with a client of its own what a group has committed for the
// first partition.
func committed(ctx context.Context, addr, group, topic string) (kadm.Offset, error) {
	cl, err := client(addr)
	if err != nil {
		return kadm.Offset{}, err
	}
	defer cl.Close()
	all, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err != nil {
		return kadm.Offset{}, err
	}
	at, _ := all.Lookup(topic, 0)
	return at.Offset, at.Err
}

// groups does the steps of scenario groups with kadm.
func groups(ctx context.Context, addr string, p scenario.Groups) (scenario.Grouped, error) {
	var out scenario.Grouped
	cl, err := client(addr)
	if err != nil {
		return out, err
	}
	defer cl.Close()
	a := kadm.NewClient(cl)
	listed := func() (*bool, error) {
		all, err := a.ListGroups(ctx)
		_, found := all[p.Group]
		return &found, err
	}
	offsets := func() ([]int64, error) {
		all, err := a.FetchOffsets(ctx, p.Group)
		out := []int64{-1, -1, -1, -1}
		for partition, at := range all[p.Topic] {
			out[partition] = at.At
		}
		return out, err
	}
	if out.Listed, err = listed(); err != nil {
		return out, err
	}
	described, err := a.DescribeGroups(ctx, p.Group)
	if err = errors.Join(err, described.Error()); err != nil {
		return out, err
	}
	state, members := strings.ToLower(described[p.Group].State), len(described[p.Group].Members)
	out.State, out.Members = &state, &members
	if out.Offsets, err = offsets(); err != nil {
		return out, err
	}
	reset := kadm.Offsets{}
	reset.AddOffset(p.Topic, 0, 3, -1)
	if err := a.CommitAllOffsets(ctx, p.Group, reset); err != nil {
		return out, err
	}
	some := kadm.TopicsSet{}
	some.Add(p.Topic, 1)
	cleared, err := a.DeleteOffsets(ctx, p.Group, some)
	if err = errors.Join(err, cleared.Error()); err != nil {
		return out, err
	}
	after, err := offsets()
	if err != nil {
		return out, err
	}
	out.Reset, out.Cleared = &after[0], &after[1]
	if gone, err := a.DeleteGroup(ctx, p.Group); err != nil || gone.Err != nil {
		return out, errors.Join(err, gone.Err)
	}
	if out.Left, err = listed(); err != nil {
		return out, err
	}
	var k *kerr.Error
	if _, err := a.DeleteGroup(ctx, p.Group); errors.As(err, &k) {
		out.Gone = &k.Code
	}
	return out, nil
}
