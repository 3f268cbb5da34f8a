// Command franz runs the scenarios of package scenario with franz-go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/clients/scenario"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "franz:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: franz BROKER SCENARIO FILE")
	}
	addr, name := args[0], args[1]
	params, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	switch name {
	case "produce":
		return with(ctx, addr, params, produce)
	case "consume":
		return with(ctx, addr, params, consume)
	case "admin":
		return with(ctx, addr, params, admin)
	case "restart":
		return with(ctx, addr, params, restart)
	case "follow":
		return with(ctx, addr, params, follow)
	case "member":
		return with(ctx, addr, params, member)
	case "positions":
		return with(ctx, addr, params, positions)
	case "groups":
		return with(ctx, addr, params, groups)
	}
	return fmt.Errorf("no scenario %q", name)
}

// with decodes the parameters of a scenario and prints its results.
func with[P, R any](ctx context.Context, addr string, raw []byte, f func(context.Context, string, P) (R, error)) error {
	var p P
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	r, err := f(ctx, addr, p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// batchBytes admits records of a megabyte and stays below what brokers accept.
const batchBytes = 1_048_588

func client(addr string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}, opts...)...)
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func produce(ctx context.Context, addr string, p scenario.Produce) (scenario.Produced, error) {
	var out scenario.Produced
	for _, run := range p.Runs {
		codec, ok := codecs[run.Codec]
		if !ok {
			return out, fmt.Errorf("no codec %q", run.Codec)
		}
		opts := []kgo.Opt{kgo.ProducerBatchCompression(codec), kgo.AllowAutoTopicCreation()}
		if !run.Idempotent {
			opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		}
		cl, err := client(addr, opts...)
		if err != nil {
			return out, err
		}
		acks, err := send(ctx, cl, run)
		cl.Close()
		if err != nil {
			return out, fmt.Errorf("produce to %s with %s: %w", run.Topic, run.Codec, err)
		}
		out.Runs = append(out.Runs, acks)
	}
	return out, nil
}

func send(ctx context.Context, cl *kgo.Client, run scenario.Run) ([]scenario.Ack, error) {
	records := make([]*kgo.Record, len(run.Records))
	for i, r := range run.Records {
		records[i] = &kgo.Record{Topic: run.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if r.Timestamp != 0 {
			records[i].Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
	}
	var acks []scenario.Ack
	// Results come in the order of completion, the records know their own.
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, err
	}
	for _, r := range records {
		ms := r.Timestamp.UnixMilli()
		acks = append(acks, scenario.Ack{Partition: r.Partition, Offset: r.Offset, Timestamp: &ms})
	}
	return acks, nil
}

func restart(ctx context.Context, addr string, p scenario.Restart) (scenario.Produced, error) {
	cl, err := client(addr)
	if err != nil {
		return scenario.Produced{}, err
	}
	defer cl.Close()
	var acks []scenario.Ack
	for n := 0; ; {
		var some scenario.Run
		some.Topic = p.Topic
		for range 5 {
			some.Records = append(some.Records, scenario.Record{Value: []byte(strconv.Itoa(n))})
			n++
		}
		got, err := send(ctx, cl, some)
		if err != nil {
			return scenario.Produced{}, err
		}
		acks = append(acks, got...)
		if _, err := os.Stat(p.Until); err == nil {
			return scenario.Produced{Runs: [][]scenario.Ack{acks}}, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}
