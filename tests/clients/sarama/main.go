package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sarama:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: sarama BROKER SCENARIO FILE")
	}
	addr, name := args[0], args[1]
	params, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	switch name {
	case "produce":
		return with(addr, params, produce)
	case "consume":
		return with(addr, params, consume)
	case "admin":
		return with(addr, params, admin)
	case "restart":
		return with(addr, params, restart)
	case "follow":
		return with(addr, params, follow)
	case "member":
		return with(addr, params, member)
	case "positions":
		return with(addr, params, positions)
	case "groups":
		return with(addr, params, groups)
	}
	return fmt.Errorf("no scenario %q", name)
}

// with decodes the parameters of a scenario and prints its results.
func with[P, R any](addr string, raw []byte, f func(string, P) (R, error)) error {
	var p P
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	r, err := f(addr, p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// longest is the number of bytes up to which results have them as they are.
const longest = 256

func blob(b []byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	if len(b) > longest {
		sum := sha256.Sum256(b)
		s = "sha256:" + hex.EncodeToString(sum[:])
	}
	return &s
}

type record struct {
	Partition int32  `json:"partition"`
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
	Headers   []struct {
		Name  string `json:"name"`
		Value []byte `json:"value"`
	} `json:"headers"`
	Timestamp int64 `json:"timestamp"`
}

type produceRun struct {
	Topic      string   `json:"topic"`
	Codec      string   `json:"codec"`
	Idempotent bool     `json:"idempotent"`
	Records    []record `json:"records"`
}

type produceParams struct {
	Runs []produceRun `json:"runs"`
}

type ack struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp *int64 `json:"timestamp"`
}

type produced struct {
	Runs [][]ack `json:"runs"`
}

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func config(idempotent bool) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Net.MaxOpenRequests = 1 // demanded by idempotent mode
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	c.Metadata.Retry.Max = 400
	c.Producer.Retry.Backoff = 50 * time.Millisecond
	c.Producer.Retry.Max = 400
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = idempotent
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 100 * time.Millisecond // a new partition waits for the others
	c.Consumer.Retry.Backoff = 50 * time.Millisecond
	return c
}

func produce(addr string, p produceParams) (produced, error) {
	var out produced
	for _, run := range p.Runs {
		codec, ok := codecs[run.Codec]
		if !ok {
			return out, fmt.Errorf("no codec %q", run.Codec)
		}
		c := config(run.Idempotent)
		c.Producer.Compression = codec
		c.Producer.Flush.Messages, c.Producer.Flush.Frequency = 100, 20*time.Millisecond
		producer, err := sarama.NewSyncProducer([]string{addr}, c)
		if err != nil {
			return out, err
		}
		acks, err := send(producer, run.Topic, run.Records)
		err = errors.Join(err, producer.Close())
		if err != nil {
			return out, fmt.Errorf("produce to %s with %s: %w", run.Topic, run.Codec, err)
		}
		out.Runs = append(out.Runs, acks)
	}
	return out, nil
}

func send(producer sarama.SyncProducer, topic string, records []record) ([]ack, error) {
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Partition: r.Partition}
		// A nil encoder is no bytes; an encoder of nil would be empty.
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		if r.Timestamp != 0 {
			m.Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
		messages[i] = m
	}
	if err := producer.SendMessages(messages); err != nil {
		var many sarama.ProducerErrors
		if errors.As(err, &many) {
			return nil, fmt.Errorf("%d records, the first: %w", len(many), many[0].Err)
		}
		return nil, err
	}
	acks := make([]ack, len(messages))
	for i, m := range messages {
		acks[i] = ack{Partition: m.Partition, Offset: m.Offset}
		// It stays zero if sarama set it on the way out.
		if !m.Timestamp.IsZero() {
			ms := m.Timestamp.UnixMilli()
			acks[i].Timestamp = &ms
		}
	}
	return acks, nil
}

type restartParams struct {
	Topic string `json:"topic"`
	Until string `json:"until"`
}

func restart(addr string, p restartParams) (produced, error) {
	producer, err := sarama.NewSyncProducer([]string{addr}, config(true))
	if err != nil {
		return produced{}, err
	}
	var acks []ack
	for n := 0; ; {
		var some []record
		for range 5 {
			some = append(some, record{Value: []byte(strconv.Itoa(n))})
			n++
		}
		got, err := send(producer, p.Topic, some)
		if err != nil {
			return produced{}, fmt.Errorf("after %d records: %w", len(acks), err)
		}
		acks = append(acks, got...)
		if _, err := os.Stat(p.Until); err == nil {
			return produced{Runs: [][]ack{acks}}, producer.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
}
