package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

func produceCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "produce", Usage: "write records into a topic, one a line of stdin", ArgsUsage: "TOPIC",
		Description: `A line is a record's value, or what --format or --key-separator makes of it. The
topic is created if it is missing and the broker allows that. For each record a
line says where it went; a record that the broker refuses, because a plugin did,
say, is named on stderr with the broker's reason, and the exit code is 1.

Fields of --format, each of which ends where the text behind it begins:
` + formatHelp(true) + `
--format json reads lines as ` + "`varve consume --output json`" + ` prints them.

Examples:
   varve produce greetings < lines.txt
   echo hello | varve produce greetings
   echo k1:v1 | varve produce orders --key-separator :
   varve produce orders --format '%k %v' --compression zstd --file orders.txt
   varve consume orders --until end --output json | varve produce copy --format json --quiet`,
		Flags: kafkaFlags(
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read `FILE` instead of stdin"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of a line, or json", Value: "%v"},
			&cli.StringFlag{Name: "key-separator", Aliases: []string{"K"}, Usage: "a line is key, `TEXT` and value"},
			&cli.StringFlag{Name: "key", Aliases: []string{"k"}, Usage: "`KEY` of all records"},
			&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "a header of all records, `NAME=VALUE`; may be repeated"},
			&cli.BoolFlag{Name: "empty-is-null", Usage: "an empty value is null, which deletes a key from a compacted topic"},
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Usage: "`NUMBER` of the partition", Value: -1, DefaultText: "by the key, as Kafka's clients choose"},
			&cli.StringFlag{Name: "compression", Aliases: []string{"z"}, Usage: "`CODEC`: none, gzip, snappy, lz4 or zstd", Value: "none"},
			&cli.StringFlag{Name: "acks", Usage: "who must have a record: all, leader or none; only all rules out loss and duplicates", Value: "all"},
			&cli.BoolFlag{Name: "one-by-one", Usage: "send each record alone, so that a refused one takes no others along"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not say where each record went"},
		),
		Action: produce,
	})
}

func produce(c *cli.Context) error {
	args, err := arguments(c, "TOPIC")
	if err != nil {
		return err
	}
	out, err := newOutput(c)
	if err != nil {
		return err
	}
	in, err := newRecordInput(c)
	if err != nil {
		return err
	}
	refused := &refusals{}
	batchBytes := int32(defaultBatchBytes)
	opts, err := producerOptions(c, in)
	if err != nil {
		return err
	}
	source, err := openSource(c)
	if err != nil {
		return err
	}
	defer source.Close()
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	k, err := openKafka(ctx, c, append(opts, kgo.DefaultProduceTopic(args[0]), kgo.Dialer(refused.dial),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return batchBytes }))...)
	if err != nil {
		return err
	}
	defer k.close()
	batchBytes = k.messageBytesMax(args[0])
	p := &producing{k: k, topic: args[0], out: out, in: in, refused: refused, quiet: c.Bool("quiet"),
		unasked: c.String("acks") == "none" || c.String("acks") == "0", progress: newProgress(c, "produced", c.Bool("quiet"))}
	return p.run(ctx, source)
}

const (
	// defaultBatchBytes is Kafka's default of max.message.bytes with room for
	// what a batch adds.
	defaultBatchBytes = 1_000_012
	// batchBytesMax bounds what one request may become.
	batchBytesMax = 64 << 20
)

// messageBytesMax returns the largest batch that the topic takes.
func (k *cluster) messageBytesMax(topic string) int32 {
	ctx, cancel := k.ask()
	defer cancel()
	list, err := k.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultBatchBytes
	}
	r, err := list.On(topic, nil)
	if err != nil || r.Err != nil {
		return defaultBatchBytes
	}
	for _, v := range r.Configs {
		if n, err := strconv.ParseInt(text(v.Value), 10, 32); v.Key == "max.message.bytes" && err == nil && n > 0 {
			return int32(min(n, batchBytesMax))
		}
	}
	return defaultBatchBytes
}

// producerOptions are the client's options that flags decide.
func producerOptions(c *cli.Context, in *recordInput) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(), kgo.AllowIdempotentProduceCancellation(),
		kgo.MaxBufferedBytes(2 * batchBytesMax), kgo.ProducerLinger(5 * time.Millisecond),
	}
	if c.Bool("one-by-one") {
		opts = append(opts, kgo.MaxBufferedRecords(1), kgo.ProducerLinger(0))
	}
	partition := c.Int("partition")
	switch {
	case c.IsSet("partition") && (partition < 0 || partition > math.MaxInt32):
		return nil, usageError{fmt.Errorf("--partition %d is no partition", partition)}
	case c.IsSet("partition") && in.format.has('p'):
		return nil, usageError{errors.New("--partition and %p in --format contradict each other; leave one out")}
	case c.IsSet("partition") || in.format.has('p'):
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	switch a := c.String("acks"); a {
	case "all", "-1":
	case "leader", "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "none", "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usageError{fmt.Errorf("--acks %q is not known; write all, leader or none", a)}
	}
	codec, found := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[c.String("compression")]
	if !found {
		return nil, usageError{fmt.Errorf("--compression %q is not known; write none, gzip, snappy, lz4 or zstd", c.String("compression"))}
	}
	return append(opts, kgo.ProducerBatchCompression(codec)), nil
}

// producing is one run of the command. The client calls its promises one after
// the other, and what they count is read when all are called.
type producing struct {
	k        *cluster
	topic    string
	out      output
	in       *recordInput
	refused  *refusals
	quiet    bool
	unasked  bool // nobody says where a record went
	progress *progress

	stored, bytes, failed int64
	buffer                []byte
	stop                  context.CancelFunc

	outcomes atomic.Int64
	mu       sync.Mutex
	first    error // that was no refusal
}

// fail ends the run with the first error.
func (p *producing) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.first = err
	}
	p.stop()
}

// watch fails the run when records wait and none gets an outcome for long. The
// client's own limit counts from the timestamps of records, which may be old.
func (p *producing) watch(ctx context.Context) {
	tick := time.NewTicker(max(p.k.timeout/2, time.Millisecond))
	defer tick.Stop()
	waiting, outcomes := false, int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := p.outcomes.Load(); waiting && n == outcomes && p.k.client.BufferedProduceRecords() > 0 {
			p.fail(fmt.Errorf("the broker took no record for %v, those that were sent may still be stored; give it longer with --timeout", p.k.timeout))
			return
		} else {
			outcomes = n
		}
		waiting = p.k.client.BufferedProduceRecords() > 0
	}
}

// run sends every line and waits for the outcome of all.
func (p *producing) run(ctx context.Context, source lineSource) error {
	// A signal ends the reading, and what was read is still sent. An error ends
	// the sending too.
	send, stop := context.WithCancel(context.WithoutCancel(ctx))
	read, stopReading := context.WithCancel(ctx)
	p.stop = func() { stop(); stopReading() }
	defer p.stop()
	go p.watch(send)
	var inputErr error
	for l := range readLines(read, source) {
		if inputErr = l.err; inputErr != nil {
			break
		}
		r, err := p.in.record(l.text)
		if err != nil {
			inputErr = fmt.Errorf("line %d: %w", l.number, err)
			break
		}
		p.k.client.Produce(send, r, func(r *kgo.Record, err error) { p.finished(l.number, r, err) })
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.k.timeout)
	defer cancel()
	if send.Err() != nil {
		_ = p.k.client.AbortBufferedRecords(flush) // the outcome of each is told
	} else if err := p.k.client.Flush(flush); err != nil {
		p.fail(p.k.explain(err))
	}
	p.progress.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stored > 0 || p.first == nil && p.failed == 0 {
		p.out.note("%s to %s, %s", count(p.stored, "record"), p.topic, byteCount(p.bytes))
	}
	switch {
	case p.first != nil:
		return p.first
	case inputErr != nil:
		return usageError{inputErr}
	case p.failed > 0:
		return fmt.Errorf("%d of %s refused", p.failed, count(p.failed+p.stored, "record"))
	case ctx.Err() != nil:
		return errInterrupted
	}
	return nil
}

// finished reports the outcome of one record.
func (p *producing) finished(line int, r *kgo.Record, err error) {
	p.outcomes.Add(1)
	switch code := kafkaCode(err); {
	case code == "INVALID_RECORD", code == "INVALID_TIMESTAMP":
		p.failed++
		p.out.note("line %d: %s", line, p.refused.reason(r.Partition, code))
		return
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrAborting):
		p.stop() // somebody said why
		return
	case code != "":
		p.fail(fmt.Errorf("line %d: %w", line, blame("topic "+p.topic, err, "")))
		return
	case err != nil:
		p.fail(fmt.Errorf("line %d: %w", line, p.lost(err)))
		return
	}
	p.stored++
	p.bytes += int64(len(r.Key) + len(r.Value))
	p.progress.show(p.stored, p.bytes)
	if p.quiet {
		return
	}
	p.buffer = p.buffer[:0]
	switch {
	case p.out.json:
		j := jsonProduced{r.Topic, r.Partition, &r.Offset, r.Timestamp.UnixMilli()}
		if p.unasked {
			j.Offset = nil
		}
		p.buffer, err = appendLine(p.buffer, j)
	case p.unasked:
		p.buffer = fmt.Appendf(p.buffer, "sent to partition %d\n", r.Partition)
	default:
		p.buffer = fmt.Appendf(p.buffer, "produced to partition %d offset %d\n", r.Partition, r.Offset)
	}
	if err == nil {
		_, err = p.out.data.Write(p.buffer)
	}
	if err != nil {
		p.fail(fmt.Errorf("write to stdout: %w", err))
	}
}

type jsonProduced struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset"` // null: nobody was asked
	Timestamp int64  `json:"timestamp"`
}

// lost says what to do about a record that the client gave up.
func (p *producing) lost(err error) error {
	if strings.Contains(err.Error(), "partitioning") {
		return fmt.Errorf("topic %s: %s; `varve topic describe %s` shows its partitions", p.topic, oneLine(err.Error()), p.topic)
	}
	return p.k.explain(err)
}

// dial is the client's way to a broker; what passes is looked at for refusals.
func (r *refusals) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn, refused: r, asked: map[int32]askedProduce{}}, nil
}
