package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/broker"
	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/plugins/builtin"
)

// startBroker runs a broker in this process until the test ends.
func startBroker(t *testing.T) (kafka, http string) {
	t.Helper()
	kafka, http, _ = startBrokerIn(t, t.TempDir())
	return kafka, http
}

// startBrokerIn runs a broker on a data directory until the test ends or stop is
// called.
func startBrokerIn(t *testing.T, dir string) (kafka, http string, stop func()) {
	t.Helper()
	s, _, err := config.Load(config.Sources{Set: []string{
		"log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "http.listen=127.0.0.1:0",
		"wal.bytes.max=64MiB", "wal.file.bytes=8MiB", "log.segment.bytes=2MiB", "group.initial.rebalance.delay.ms=0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(broker.Components{FS: fs, Root: dir, Listen: net.Listen, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the broker ended with %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-b.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("the broker does not start: %v", err)
	}
	listeners, address := b.Addresses()
	return strings.TrimPrefix(listeners[0], "PLAINTEXT://"), address, stop
}

// shell runs commands against one broker.
type shell struct {
	t    *testing.T
	http string
}

// must runs a command that succeeds, and decodes what it prints into v.
func (s shell) must(v any, args ...string) result {
	s.t.Helper()
	got := run("", append(args, "--http", s.http, "--output", "json")...)
	if got.err != nil {
		s.t.Fatalf("varve %s: %v", strings.Join(args, " "), got.err)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(got.out), v); err != nil {
			s.t.Fatalf("varve %s: %v in %s", strings.Join(args, " "), err, got.out)
		}
	}
	return got
}

// fails runs a command that the broker refuses.
func (s shell) fails(want string, args ...string) {
	s.t.Helper()
	got := run("", append(args, "--http", s.http)...)
	if got.err == nil || !strings.Contains(got.err.Error(), want) || got.out != "" {
		s.t.Errorf("varve %s: %v, want an error with %q", strings.Join(args, " "), got.err, want)
	}
}

// awaitPlugin waits until the broker has compiled a plugin of its own.
func (s shell) awaitPlugin(name string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := run("", "plugin", "describe", name, "--http", s.http).err
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

func (s shell) wantChain(got admin.Chain, want ...string) {
	s.t.Helper()
	if strings.Join(got.Stages, " ") != strings.Join(want, " ") {
		s.t.Errorf("the chain of %s is %q, want %q", got.Topic, got.Stages, want)
	}
}

// TestEndToEnd sets a stage, attaches plugins, produces through them, reads back
// and takes everything away again.
func TestEndToEnd(t *testing.T) {
	kafka, http := startBroker(t)
	s := shell{t, http}
	c := newKafka(t, kafka)
	c.produce("orders", `{"email": "a@example.com", "n": 0}`)
	s.awaitPlugin("builtin/redact")
	s.awaitPlugin("builtin/filter")

	var stage admin.Stage
	s.must(&stage, "stage", "set", "redact-email", "--plugin", "builtin/redact", "--hook", "transform",
		"--parameters", `{"fields": ["email"]}`, "--on-failure", "dead-letter")
	if stage.Name != "redact-email" || !strings.Contains(string(stage.Spec), "dead-letter") {
		t.Errorf("set gave %+v", stage)
	}
	var chain admin.Chain
	s.must(&chain, "chain", "set", "orders", "redact-email")
	s.wantChain(chain, "redact-email")
	c.produce("orders", `{"email": "b@example.com", "n": 1}`)
	s.must(&chain, "plugin", "attach", "builtin/filter", "--topic", "orders",
		"--parameters", `{"keep": {"json": "$.keep", "equals": true}}`)
	s.wantChain(chain, "redact-email", "filter-orders")
	c.produce("orders", `{"email": "c@example.com", "n": 2, "keep": false}`)
	c.produce("orders", `{"email": "d@example.com", "n": 3, "keep": true}`)
	c.produce("orders", `not JSON`)
	c.want("orders", 0, `{"email": "a@example.com", "n": 0}`, `{"email": "***", "n": 1}`, `{"email": "***", "n": 3, "keep": true}`)
	c.want("dlq.orders", 0, "not JSON")

	s.fails("conflict", "stage", "delete", "redact-email")
	s.fails("it has redact-email, filter-orders", "plugin", "detach", "redact-orders", "--topic", "orders")
	got := s.must(&chain, "plugin", "detach", "filter-orders", "--topic", "orders")
	s.wantChain(chain, "redact-email")
	if !strings.Contains(got.notes, "deleted") {
		t.Errorf("detach says %q", got.notes)
	}
	s.must(&chain, "plugin", "detach", "redact-email", "--topic", "orders", "--keep-stage")
	s.wantChain(chain)
	c.produce("orders", `{"email": "e@example.com", "n": 5}`)
	c.want("orders", 5, `{"email": "e@example.com", "n": 5}`)
	var stages []admin.Stage
	s.must(&stages, "stage", "list")
	if len(stages) != 1 || stages[0].Name != "redact-email" || len(stages[0].Topics) != 0 {
		t.Errorf("stages %+v, want redact-email without topics", stages)
	}
	s.must(nil, "stage", "delete", "redact-email")
	s.fails("not found", "stage", "delete", "redact-email")
}

// TestEndToEndPush pushes a module, uses it and deletes it.
func TestEndToEndPush(t *testing.T) {
	kafka, http := startBroker(t)
	s := shell{t, http}
	c := newKafka(t, kafka)
	bad, good := filepath.Join(t.TempDir(), "bad.wasm"), filepath.Join(t.TempDir(), "good.wasm")
	writeFile(t, bad, []byte("\x00asm\x01\x00\x00\x00"))
	// With one more custom section it is a module that the broker does not have.
	i := slices.IndexFunc(builtin.Modules(), func(m builtin.Module) bool { return m.Name == "redact" })
	writeFile(t, good, append(builtin.Modules()[i].Bytes, "\x00\x05\x04test"...))
	s.fails("invalid", "plugin", "push", bad)
	s.fails("not found", "plugin", "delete", "nosuch@1.0.0")
	s.fails("create the topic first", "plugin", "attach", "redact", "--topic", "nosuch")

	var pushed admin.Plugin
	s.must(&pushed, "plugin", "push", good)
	if pushed.Name != "redact" || pushed.Builtin || pushed.Version == "" {
		t.Fatalf("push gave %+v", pushed)
	}
	full := pushed.Name + "@" + pushed.Version
	c.produce("bills", `{"iban": "DE00", "n": 0}`)
	s.fails("`varve plugin describe` shows", "plugin", "attach", full, "--topic", "bills", "--parameters", `{"nosuch": 1}`)
	var chain admin.Chain
	s.must(&chain, "plugin", "attach", full, "--topic", "bills", "--parameters", `{"fields": ["iban"]}`)
	s.wantChain(chain, "redact-bills")
	c.produce("bills", `{"iban": "DE01", "n": 1}`)
	s.must(&chain, "plugin", "attach", full, "--topic", "bills", "--parameters", `{"fields": ["iban"], "replacement": "x"}`)
	s.wantChain(chain, "redact-bills")
	c.produce("bills", `{"iban": "DE02", "n": 2}`)
	c.want("bills", 0, `{"iban": "DE00", "n": 0}`, `{"iban": "***", "n": 1}`, `{"iban": "x", "n": 2}`)
	s.fails("conflict", "plugin", "delete", full)
	s.must(&chain, "plugin", "detach", "redact-bills", "--topic", "bills")
	s.must(nil, "plugin", "delete", full)
	s.fails("not found", "plugin", "describe", full)
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// kafkaClient produces and consumes one partition.
type kafkaClient struct {
	t       *testing.T
	address string
	*kgo.Client
}

func newKafka(t *testing.T, address string) kafkaClient {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kafkaClient{t, address, c}
}

func (c kafkaClient) produce(topic, value string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 0, Value: []byte(value)}).FirstErr(); err != nil {
		c.t.Fatalf("produce %s: %v", value, err)
	}
}

// want reads values from an offset until there are as many as are wanted.
func (c kafkaClient) want(topic string, offset int64, values ...string) {
	c.t.Helper()
	r, err := kgo.NewClient(kgo.SeedBrokers(c.address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {0: kgo.NewOffset().At(offset)},
	}))
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < len(values) {
		f := r.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("%s has %q from offset %d, want %q", topic, got, offset, values)
		}
		f.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if strings.Join(got, "\n") != strings.Join(values, "\n") {
		c.t.Errorf("%s has %q from offset %d, want %q", topic, got, offset, values)
	}
}
