package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
)

// patience is how long nothing may come; running into it is a failure.
const patience = 60 * time.Second

type readParams struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
}

type consumeParams struct {
	Reads     []readParams `json:"reads"`
	Committed bool         `json:"committed"`
	Until     string       `json:"until"`
}

type header struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

type got struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"`
	Key       *string  `json:"key"`
	Value     *string  `json:"value"`
	Headers   []header `json:"headers"`
}

type consumed struct {
	Records []got `json:"records"`
}

func consume(addr string, p consumeParams) (consumed, error) {
	var out consumed
	settings := config(false)
	if p.Committed {
		settings.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	cl, err := sarama.NewClient([]string{addr}, settings)
	if err != nil {
		return out, err
	}
	defer cl.Close()
	c, err := sarama.NewConsumerFromClient(cl)
	if err != nil {
		return out, err
	}
	defer c.Close()
	// All at the same time, as programs with a consumer per partition do.
	type result struct {
		records []got
		err     error
	}
	results := make([]chan result, len(p.Reads))
	for i, r := range p.Reads {
		done := make(chan result, 1)
		results[i] = done
		go func() {
			records, err := toEnd(cl, c, r, p.Until)
			done <- result{records, err}
		}()
	}
	for _, done := range results {
		r := <-done
		out.Records = append(out.Records, r.records...)
		err = errors.Join(err, r.err)
	}
	return out, err
}

// toEnd reads a partition up to where it ends now, or until a file exists.
func toEnd(cl sarama.Client, c sarama.Consumer, r readParams, until string) ([]got, error) {
	from := r.Offset
	var err error
	if r.Timestamp != 0 {
		if from, err = cl.GetOffset(r.Topic, r.Partition, r.Timestamp); err != nil {
			return nil, fmt.Errorf("offset of %s-%d at %d: %w", r.Topic, r.Partition, r.Timestamp, err)
		}
	}
	end, err := cl.GetOffset(r.Topic, r.Partition, sarama.OffsetNewest)
	if err != nil {
		return nil, fmt.Errorf("end of %s-%d: %w", r.Topic, r.Partition, err)
	}
	if from < 0 || from >= end {
		return nil, nil
	}
	if until != "" {
		return readUntil(c, r.Topic, r.Partition, from, until)
	}
	return read(c, r.Topic, r.Partition, from, func(m *sarama.ConsumerMessage) bool { return m.Offset+1 >= end })
}

// read reads a partition until a record is the last.
func read(c sarama.Consumer, topic string, partition int32, from int64, last func(*sarama.ConsumerMessage) bool) ([]got, error) {
	pc, err := c.ConsumePartition(topic, partition, from)
	if err != nil {
		return nil, fmt.Errorf("consume %s-%d from %d: %w", topic, partition, from, err)
	}
	defer pc.Close()
	var out []got
	// What the consumer goes on after by itself, it reports as well.
	var reported error
	for {
		select {
		case m := <-pc.Messages():
			out = append(out, convert(m))
			if last(m) {
				return out, nil
			}
		case err := <-pc.Errors():
			reported = errors.Join(reported, err)
		case <-time.After(patience):
			return nil, fmt.Errorf("consume %s-%d: nothing after %d records; reported: %w", topic, partition, len(out), reported)
		}
	}
}

// readUntil reads a partition until a file exists. Any error is a failure.
func readUntil(c sarama.Consumer, topic string, partition int32, from int64, file string) ([]got, error) {
	pc, err := c.ConsumePartition(topic, partition, from)
	if err != nil {
		return nil, fmt.Errorf("consume %s-%d from %d: %w", topic, partition, from, err)
	}
	defer pc.Close()
	var out []got
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	ended := false
	for {
		select {
		case m := <-pc.Messages():
			out = append(out, convert(m))
			continue
		case err := <-pc.Errors():
			return nil, err
		case <-deadline:
			return nil, fmt.Errorf("consume %s-%d: not at the end after %d records", topic, partition, len(out))
		case <-tick.C:
		}
		// What it has read before it asked for more is in the channel already.
		if ended && len(pc.Messages()) == 0 {
			return out, nil
		}
		_, err := os.Stat(file)
		ended = err == nil
	}
}

func convert(m *sarama.ConsumerMessage) got {
	g := got{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(),
		Key: blob(m.Key), Value: blob(m.Value),
	}
	for _, h := range m.Headers {
		g.Headers = append(g.Headers, header{Name: string(h.Key), Value: blob(h.Value)})
	}
	return g
}

type followParams struct {
	Topic string `json:"topic"`
	Last  []byte `json:"last"`
}

func follow(addr string, p followParams) (consumed, error) {
	c, err := sarama.NewConsumer([]string{addr}, config(false))
	if err != nil {
		return consumed{}, err
	}
	defer c.Close()
	records, err := read(c, p.Topic, 0, 0, func(m *sarama.ConsumerMessage) bool { return bytes.Equal(m.Value, p.Last) })
	return consumed{Records: records}, err
}
