package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/tests/clients/scenario"
)

type place struct {
	topic     string
	partition int32
}

func consume(ctx context.Context, addr string, p scenario.Consume) (scenario.Consumed, error) {
	var out scenario.Consumed
	ask, err := client(addr)
	if err != nil {
		return out, err
	}
	defer ask.Close()
	from := map[string]map[int32]kgo.Offset{}
	left := map[place]int64{} // where each partition ends
	for _, r := range p.Reads {
		offset := r.Offset
		if r.Timestamp != 0 {
			if offset, err = offsetAt(ctx, ask, r.Topic, r.Partition, r.Timestamp); err != nil {
				return out, err
			}
		}
		end, err := offsetAt(ctx, ask, r.Topic, r.Partition, latest)
		if err != nil {
			return out, err
		}
		if offset < 0 || offset >= end {
			continue
		}
		left[place{r.Topic, r.Partition}] = end
		if from[r.Topic] == nil {
			from[r.Topic] = map[int32]kgo.Offset{}
		}
		from[r.Topic][r.Partition] = kgo.NewOffset().At(offset)
	}
	level := kgo.ReadUncommitted()
	if p.Committed {
		level = kgo.ReadCommitted()
	}
	cl, err := client(addr, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level))
	if err != nil {
		return out, err
	}
	defer cl.Close()
	if p.Until != "" {
		out.Records, err = pollUntil(ctx, cl, p.Until)
		return out, err
	}
	for len(left) > 0 {
		records, err := poll(ctx, cl)
		if err != nil {
			return out, fmt.Errorf("%w; unread: %v", err, left)
		}
		for _, r := range records {
			at := place{r.Topic, r.Partition}
			if end, reading := left[at]; !reading || r.Offset >= end {
				continue
			}
			out.Records = append(out.Records, got(r))
			if r.Offset+1 == left[at] {
				delete(left, at)
			}
		}
	}
	return out, nil
}

func follow(ctx context.Context, addr string, p scenario.Follow) (scenario.Consumed, error) {
	var out scenario.Consumed
	cl, err := client(addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		p.Topic: {0: kgo.NewOffset().At(0)},
	}))
	if err != nil {
		return out, err
	}
	defer cl.Close()
	for {
		records, err := poll(ctx, cl)
		if err != nil {
			return out, err
		}
		for _, r := range records {
			out.Records = append(out.Records, got(r))
			if bytes.Equal(r.Value, p.Last) {
				return out, nil
			}
		}
	}
}

// pollUntil polls until a file exists. What a client asks for after some records
// it asks for after it gave them away, so none is missed.
func pollUntil(ctx context.Context, cl *kgo.Client, file string) ([]scenario.Got, error) {
	var out []scenario.Got
	for {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetches := cl.PollFetches(short)
		cancel()
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return out, err
		}
		for _, r := range fetches.Records() {
			out = append(out, got(r))
		}
		if _, err := os.Stat(file); err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return out, fmt.Errorf("not at the end after %d records: %w", len(out), ctx.Err())
		}
	}
}

func poll(ctx context.Context, cl *kgo.Client) ([]*kgo.Record, error) {
	fetches := cl.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return nil, err
	}
	return fetches.Records(), nil
}

func got(r *kgo.Record) scenario.Got {
	out := scenario.Got{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
		Key: scenario.Blob(r.Key), Value: scenario.Blob(r.Value), Headers: []scenario.GotHeader{},
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, scenario.GotHeader{Name: h.Key, Value: scenario.Blob(h.Value)})
	}
	return out
}

// Timestamps with a meaning of their own in ListOffsets.
const (
	latest   = -1
	earliest = -2
)

// offsetAt returns the offset of the first record that is not older than a
// timestamp in milliseconds, or -1 if there is none.
func offsetAt(ctx context.Context, cl *kgo.Client, topic string, partition int32, ms int64) (int64, error) {
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID = -1
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partition, ms
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(ctx, cl)
	if err != nil {
		return 0, fmt.Errorf("list offsets of %s-%d: %w", topic, partition, err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("list offsets of %s-%d: the answer has no such partition", topic, partition)
	}
	p := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return 0, fmt.Errorf("list offsets of %s-%d: %w", topic, partition, err)
	}
	return p.Offset, nil
}
