package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// consuming is one run of the command.
type consuming struct {
	k       *cluster
	plan    *consumePlan
	out     output
	printer *recordPrinter

	// What is still to be read, and up to where. Without --until the end is -1.
	left map[spot]int64
	// Ends that are not yet written are waited for.
	future bool
	silent bool // the brokers were gone when last looked
}

// alone reads partitions without a group.
func (r *consuming) alone(c *cli.Context) error {
	starts, err := r.begin()
	if err != nil || len(r.left) == 0 {
		return err
	}
	cl, err := r.k.consumer(c, append(r.plan.consumerOptions(), kgo.ConsumePartitions(starts))...)
	if err != nil {
		return err
	}
	defer cl.close()
	for len(r.left) > 0 && !r.enough() {
		records, err := r.next(cl)
		if err != nil || r.k.ctx.Err() != nil {
			return err
		}
		for _, record := range records {
			if err := r.take(cl.client, record); err != nil {
				return err
			}
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
	return nil
}

// begin finds out where each partition is read from, and fills in what is left.
func (r *consuming) begin() (map[string]map[int32]kgo.Offset, error) {
	all, err := r.k.boundsOf(r.plan.committed, r.plan.topics...)
	if err != nil {
		return nil, err
	}
	if err := r.plan.choose(all); err != nil {
		return nil, err
	}
	from, err := r.k.locate(r.plan.from, all, r.plan.topics...)
	if err != nil {
		return nil, err
	}
	ends, err := r.ends(all)
	if err != nil {
		return nil, err
	}
	starts := map[string]map[int32]kgo.Offset{}
	r.left = map[spot]int64{}
	for _, s := range sortedSpots(all) {
		at := from.at(s)
		if p := r.plan.from; p.kind == placeOffset && at != p.n {
			r.out.note("%s holds offsets %d to %d: it is read from %d", s, all[s].start, all[s].end, at)
		}
		if end := ends(s); end >= 0 && at >= end {
			continue
		} else {
			r.left[s] = end
		}
		if starts[s.topic] == nil {
			starts[s.topic] = map[int32]kgo.Offset{}
		}
		starts[s.topic][s.partition] = kgo.NewOffset().At(at)
	}
	return starts, nil
}

// ends returns a function that gives the end of each partition, -1 for none.
func (r *consuming) ends(all map[spot]bounds) (func(spot) int64, error) {
	if r.plan.until == nil {
		return func(spot) int64 { return -1 }, nil
	}
	until := *r.plan.until
	l, err := r.k.locate(until, all, r.plan.topics...)
	if err != nil {
		return nil, err
	}
	return func(s spot) int64 {
		if until.kind == placeOffset { // which may be written later
			r.future = r.future || until.n > all[s].end
			return until.n
		}
		return l.at(s)
	}, nil
}

// choose leaves only the partitions that are asked for.
func (p *consumePlan) choose(all map[spot]bounds) error {
	if len(p.partitions) == 0 {
		return nil
	}
	found := map[int]bool{}
	for s := range all {
		if slices.Contains(p.partitions, int(s.partition)) {
			found[int(s.partition)] = true
		} else {
			delete(all, s)
		}
	}
	for _, n := range p.partitions {
		if !found[n] {
			return fmt.Errorf("there is no partition %d; `varve topic describe %s` shows what there is", n, p.topics[0])
		}
	}
	return nil
}

func sortedSpots[V any](m map[spot]V) []spot {
	return slices.SortedFunc(maps.Keys(m), func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
}

// consumer opens a second connection, with the options of a consumer.
func (k *cluster) consumer(c *cli.Context, opts ...kgo.Opt) (*cluster, error) {
	return openKafka(k.ctx, c, opts...)
}

// pollMost bounds what one poll returns, and so what a group may read twice.
const pollMost = 10_000

// enough says whether --count is reached.
func (r *consuming) enough() bool { return r.plan.count > 0 && r.printer.records >= r.plan.count }

// next polls. If nothing comes for long it finds out whether that is an error.
func (r *consuming) next(cl *cluster) ([]*kgo.Record, error) {
	most := int64(pollMost)
	if r.plan.count > 0 {
		most = min(most, r.plan.count-r.printer.records)
	}
	ctx, cancel := context.WithTimeout(r.k.ctx, r.k.timeout)
	defer cancel()
	records, err := r.k.poll(ctx, cl.client, int(most))
	if err != nil || len(records) > 0 || r.k.ctx.Err() != nil {
		return records, err
	}
	if ctx.Err() == nil {
		return nil, nil
	}
	if r.plan.until == nil || r.future {
		r.tellSilence(cl)
		return nil, nil
	}
	if _, err := r.k.boundsOf(r.plan.committed, r.plan.topics...); err != nil {
		return nil, err
	}
	spots := sortedSpots(r.left)
	return nil, fmt.Errorf("nothing came of %s up to offset %d within %v; give it longer with --timeout", spots[0], r.left[spots[0]], r.k.timeout)
}

// tellSilence says once when the brokers are gone, and once when they are back.
// Who follows a topic waits for them.
func (r *consuming) tellSilence(cl *cluster) {
	ctx, cancel := context.WithTimeout(r.k.ctx, min(r.k.timeout, connectTimeout))
	defer cancel()
	switch err := cl.client.Ping(ctx); {
	case r.k.ctx.Err() != nil:
	case err != nil && !r.silent:
		r.silent = true
		r.out.note("no broker at %s answers; waiting for one", cl.brokers)
	case err == nil && r.silent:
		r.silent = false
		r.out.note("%s answers again", cl.brokers)
	}
}

// take prints a record if it belongs to what is left, and strikes out its
// partition when it is read to its end.
func (r *consuming) take(cl *kgo.Client, record *kgo.Record) error {
	s := spot{record.Topic, record.Partition}
	end, wanted := r.left[s]
	if !wanted || r.enough() {
		return nil
	}
	if !record.Attrs.IsControl() && (end < 0 || record.Offset < end) {
		if err := r.printer.print(record); err != nil {
			return err
		}
	}
	if end >= 0 && record.Offset+1 >= end {
		delete(r.left, s)
		cl.PauseFetchPartitions(map[string][]int32{s.topic: {s.partition}})
	}
	return nil
}

// flush shows what was printed.
func (r *consuming) flush() error {
	r.printer.progress.show(r.printer.records, r.printer.bytes)
	if err := r.printer.w.Flush(); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}
