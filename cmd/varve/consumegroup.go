package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// memberPoll is how often a member with --until looks where its group stands.
const memberPoll = time.Second

// membership is what a member of a group owns. The client's callbacks change it.
type membership struct {
	mu    sync.Mutex
	owned map[spot]bool
	begun bool // partitions were assigned once, perhaps none
}

func (m *membership) add(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = true
	eachPart(parts, func(s spot) { m.owned[s] = true })
}

func (m *membership) remove(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	eachPart(parts, func(s spot) { delete(m.owned, s) })
}

func eachPart(parts map[string][]int32, f func(spot)) {
	for topic, list := range parts {
		for _, p := range list {
			f(spot{topic, p})
		}
	}
}

// done says whether every owned partition is read to its end.
func (m *membership) done(positions, ends map[spot]int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.owned {
		if end, bounded := ends[s]; bounded && positions[s] < end {
			return false
		}
	}
	return m.begun
}

// startOffset is a place in the words of the client.
func (p place) startOffset() kgo.Offset {
	o := kgo.NewOffset()
	switch p.kind {
	case placeEnd:
		return o.AtEnd()
	case placeOffset:
		return o.At(p.n)
	case placeLast:
		return o.AtEnd().Relative(-p.n)
	case placeTime:
		return o.AfterMilli(p.n)
	}
	return o.AtStart()
}

// asMember reads as a member of a group.
func (r *consuming) asMember(c *cli.Context) error {
	ends, positions, err := r.standing()
	if err != nil {
		return err
	}
	m := &membership{owned: map[spot]bool{}}
	cl, err := r.k.consumer(c, append(r.plan.consumerOptions(),
		kgo.ConsumerGroup(r.plan.group), kgo.ConsumeTopics(r.plan.topics...), kgo.ConsumeStartOffset(r.plan.from.startOffset()),
		kgo.AutoCommitMarks(), kgo.OnPartitionsAssigned(m.add), kgo.OnPartitionsLost(m.remove),
		// What was printed is committed before another member goes on.
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, parts map[string][]int32) {
			_ = cl.CommitMarkedOffsets(ctx) // or else the next member prints it again
			m.remove(ctx, cl, parts)
		}),
	)...)
	if err != nil {
		return err
	}
	defer cl.client.CloseAllowingRebalance()
	err = r.asMemberLoop(cl, m, ends, positions)
	if flushErr := r.flush(); err == nil {
		err = flushErr
	}
	if commitErr := r.commit(cl); err == nil {
		err = commitErr
	}
	return err
}

// standing returns where the group has to get to, and where it is. Both are
// empty without --until.
func (r *consuming) standing() (ends, positions map[spot]int64, err error) {
	if r.plan.until == nil {
		return nil, nil, nil
	}
	all, err := r.k.boundsOf(r.plan.committed, r.plan.topics...)
	if err != nil {
		return nil, nil, err
	}
	endOf, err := r.ends(all)
	if err != nil {
		return nil, nil, err
	}
	from, err := r.k.locate(r.plan.from, all, r.plan.topics...)
	if err != nil {
		return nil, nil, err
	}
	ends, positions = map[spot]int64{}, map[spot]int64{}
	for s := range all {
		ends[s], positions[s] = endOf(s), -1
	}
	if err := r.k.refresh(r.plan.group, positions); err != nil {
		return nil, nil, err
	}
	for s, at := range positions {
		if at < 0 { // it stands nowhere
			positions[s] = from.at(s)
		}
	}
	return ends, positions, nil
}

// refresh moves positions up to what the group has committed.
func (k *cluster) refresh(group string, positions map[spot]int64) error {
	ctx, cancel := k.ask()
	defer cancel()
	offsets, err := k.admin.FetchOffsets(ctx, group)
	if err != nil {
		return k.explain(err)
	}
	for topic, list := range offsets {
		for p, o := range list {
			if s := (spot{topic, p}); o.Err == nil && o.At >= 0 {
				if at, known := positions[s]; known {
					positions[s] = max(at, o.At)
				}
			}
		}
	}
	return nil
}

// asMemberLoop polls, prints and commits.
func (r *consuming) asMemberLoop(cl *cluster, m *membership, ends, positions map[spot]int64) error {
	moved := time.Now()
	for !r.enough() && !(r.plan.until != nil && m.done(positions, ends)) {
		most, wait := int64(pollMost), r.k.timeout
		if r.plan.count > 0 {
			most = min(most, r.plan.count-r.printer.records)
		}
		if r.plan.until != nil {
			wait = memberPoll
		}
		ctx, cancel := context.WithTimeout(r.k.ctx, wait)
		records, err := r.k.poll(ctx, cl.client, int(most))
		cancel()
		if err != nil || r.k.ctx.Err() != nil {
			return err
		}
		taken, err := r.takeAll(records, ends, positions)
		if err != nil {
			return err
		}
		switch {
		case len(taken) > 0:
			// Only what was shown may be committed, by whomever.
			cl.client.MarkCommitRecords(taken...)
			if err := r.commit(cl); err != nil {
				return err
			}
		case len(records) == 0 && r.plan.until != nil:
			if err := r.k.refresh(r.plan.group, positions); err != nil {
				return err
			}
			if !r.future && time.Since(moved) > max(r.k.timeout, 2*memberPoll) && !m.done(positions, ends) {
				return fmt.Errorf("nothing came to this member of group %s within %v; give it longer with --timeout", r.plan.group, r.k.timeout)
			}
		}
		if len(records) > 0 {
			moved = time.Now()
		}
		cl.client.AllowRebalance()
	}
	return nil
}

// takeAll prints what lies below the ends, and returns it.
func (r *consuming) takeAll(records []*kgo.Record, ends, positions map[spot]int64) ([]*kgo.Record, error) {
	taken := records[:0]
	for _, record := range records {
		s := spot{record.Topic, record.Partition}
		if _, known := positions[s]; known {
			positions[s] = record.Offset + 1
		}
		if end, bounded := ends[s]; bounded && record.Offset >= end {
			continue
		}
		if !record.Attrs.IsControl() {
			if err := r.printer.print(record); err != nil {
				return nil, err
			}
		}
		taken = append(taken, record)
	}
	return taken, r.flush()
}

// commit commits what was marked.
func (r *consuming) commit(cl *cluster) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.k.ctx), r.k.timeout)
	defer cancel()
	if err := cl.client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("commit the offsets of group %s: %w", r.plan.group, r.k.explain(err))
	}
	return nil
}
