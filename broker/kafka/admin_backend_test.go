package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/wire"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// An adminRig is a broker's node in memory behind a listener, and a client. What
// the backend is asked for is done by whoever asks, one thing after the other.
type adminRig struct {
	t    testing.TB
	n    *node.Node
	cfg  *config.Broker
	now  time.Time
	nc   net.Conn
	next int32

	notReady atomic.Bool

	mu     sync.Mutex
	busy   bool
	held   bool // nothing is done before release
	queue  []func()
	timers map[int]func()
	before func() // called before each command
}

func (g *adminRig) log() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newAdminRig(t testing.TB, set ...string) *adminRig {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: append([]string{"log.dirs=" + t.TempDir(), "node.id=1"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	g := &adminRig{t: t, cfg: cfg, now: time.UnixMilli(1_000_000), timers: map[int]func(){}}
	e := replog.DefaultConfig(vfs.NewMem(vfs.MemOptions{}))
	seed := uint64(0)
	e.WAL.Entropy = func() uint64 { seed++; return seed * 0x9e3779b97f4a7c15 }
	e.WAL.FirstFileBytes, e.WAL.FileBytes, e.WAL.BytesMax, e.WAL.ReserveBytes = 1<<20, 4<<20, 16<<20, 32<<10
	e.DiskReserve = 0
	g.n, _, err = node.Open(node.Config{
		Engine: e, ID: 1, ClusterID: "test-cluster", QueueBytesMax: 8 << 20, MaintainEvery: time.Minute,
		Plan: func(*metadata.Topic) node.TopicPlan { return node.TopicPlan{Settings: partition.DefaultSettings()} },
	}, g.now)
	if err != nil {
		t.Fatal(err)
	}
	g.wait(func() {})
	g.must(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "inside", Port: 9, Rack: "r1"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewServer(wire.Settings{Known: Known}, New(g, g.log()), g.log())
	served := make(chan error, 1)
	go func() { served <- s.Serve("PLAINTEXT", l) }()
	if g.nc, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.nc.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		g.n.Close()
	})
	return g
}

// do performs f and everything that comes of it, unless that is held.
func (g *adminRig) do(f func()) {
	g.mu.Lock()
	g.queue = append(g.queue, f)
	if g.busy || g.held {
		g.mu.Unlock()
		return
	}
	g.busy = true
	for len(g.queue) > 0 {
		f := g.queue[0]
		g.queue = g.queue[1:]
		g.mu.Unlock()
		f()
		g.drive()
		g.mu.Lock()
	}
	g.busy = false
	g.mu.Unlock()
}

// wait is do for the test itself: it returns when f and all that came of it are
// done, by whichever goroutine.
func (g *adminRig) wait(f func()) {
	done := make(chan struct{})
	g.do(f)
	g.do(func() { close(done) })
	<-done
}

func (g *adminRig) drive() {
	for {
		tasks := g.n.Poll(g.now)
		if err := g.n.Err(); err != nil {
			g.t.Error(err)
			return
		}
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			_ = task.Do()
			g.n.Done(g.now, task)
		}
	}
}

// hold keeps everything that is asked of the backend from now on waiting;
// release lets it through.
func (g *adminRig) hold() { g.mu.Lock(); g.held = true; g.mu.Unlock() }

func (g *adminRig) release() {
	g.mu.Lock()
	g.held = false
	g.mu.Unlock()
	g.wait(func() {})
}

// waiting waits until n things are held.
func (g *adminRig) waiting(n int) {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		have := len(g.queue)
		g.mu.Unlock()
		if have >= n {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%d requests are held, want %d", have, n)
		}
	}
}

// expire lets every timer's time come, and says how many there were.
func (g *adminRig) expire() int {
	g.mu.Lock()
	timers := g.timers
	g.timers = map[int]func(){}
	g.mu.Unlock()
	for _, f := range timers {
		f()
	}
	return len(timers)
}

func (g *adminRig) must(cmd metadata.Command) metadata.Result {
	g.t.Helper()
	var result metadata.Result
	done := false
	g.wait(func() { g.n.Command(cmd, func(r metadata.Result) { result, done = r, true }) })
	if !done || result.Err != nil {
		g.t.Fatalf("%T: done %v, %v", cmd, done, result.Err)
	}
	return result
}

// topic creates a topic without the API.
func (g *adminRig) topic(name string, partitions int32, configs ...string) *metadata.Topic {
	g.t.Helper()
	cmd := metadata.CreateTopic{Name: name, TopicID: newTopicID(), Partitions: partitions, ReplicationFactor: 1}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		cmd.Configs = append(cmd.Configs, metadata.KV{Name: k, Value: v})
	}
	return g.must(cmd).Topic
}

// produce appends n batches of one record.
func (g *adminRig) produce(p ident.Partition, n int) {
	g.t.Helper()
	for range n {
		b := record.NewBuilder(record.DefaultParams(record.None, 1000))
		if err := b.Append(&record.Record{Key: []byte("k"), Value: []byte("value")}); err != nil {
			g.t.Fatal(err)
		}
		batch, err := b.Finish(0)
		if err != nil {
			g.t.Fatal(err)
		}
		header, err := record.ParseHeader(batch)
		if err != nil {
			g.t.Fatal(err)
		}
		done := false
		g.wait(func() {
			g.n.Replica(p).Partition.Produce(&partition.Append{Entry: partition.NewEntry(batch, 1, 0, nil), Header: header, Done: func(a *partition.Append) {
				if done = true; a.Err != nil {
					g.t.Error(a.Err)
				}
			}})
		})
		if !done {
			g.t.Fatal("a produce has no answer")
		}
	}
}

// send sends a request in its version; receive reads the answer to it.
func (g *adminRig) send(q kmsg.Request) {
	g.t.Helper()
	g.next++
	if _, err := g.nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, q, g.next)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *adminRig) receive(q kmsg.Request) kmsg.Response {
	g.t.Helper()
	if err := g.nc.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	var head [4]byte
	if _, err := io.ReadFull(g.nc, head[:]); err != nil {
		g.t.Fatalf("answer to %s: %v", kmsg.NameForKey(q.Key()), err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(g.nc, frame); err != nil {
		g.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != g.next {
		g.t.Fatalf("correlation id %d, want %d", got, g.next)
	}
	frame = frame[4:]
	if q.IsFlexible() {
		frame = frame[1:] // no tagged fields
	}
	resp := q.ResponseKind()
	resp.SetVersion(q.GetVersion())
	if err := resp.ReadFrom(frame); err != nil {
		g.t.Fatalf("decode %T version %d: %v", resp, q.GetVersion(), err)
	}
	return resp
}

// ask sends a request in a version and returns the answer.
func ask[R kmsg.Response](g *adminRig, version int16, q kmsg.Request) R {
	g.t.Helper()
	q.SetVersion(version)
	g.send(q)
	return g.receive(q).(R)
}

// Backend.

func (g *adminRig) Ready() bool            { return g.n.Ready() && !g.notReady.Load() }
func (g *adminRig) Image() *metadata.Image { return g.n.Image() }
func (g *adminRig) NodeID() ident.NodeID   { return 1 }
func (g *adminRig) Advertised(listener string) (string, int32) {
	return "advertised." + strings.ToLower(listener), 9092
}
func (g *adminRig) Config() *config.Broker { return g.cfg }
func (g *adminRig) Topic(t *metadata.Topic) *config.Topic {
	cfg := config.EffectiveTopic(overrides(t.Configs), g.cfg)
	return &cfg
}
func (g *adminRig) Replica(p ident.Partition) *node.Replica { return g.n.Replica(p) }
func (g *adminRig) Produce([]Batch)                         { g.t.Error("Produce by an admin request") }
func (g *adminRig) ProducerID(func(int64, error))           { g.t.Error("ProducerID by an admin request") }
func (g *adminRig) Run(f func())                            { f() }
func (g *adminRig) Now() time.Time                          { return g.now }
func (g *adminRig) DeleteRecords(p *partition.Partition, r *partition.StartRequest) {
	g.do(func() { p.DeleteRecords(r, g.now.UnixMilli()) })
}
func (g *adminRig) Command(cmd metadata.Command, done func(metadata.Result)) {
	g.do(func() {
		g.mu.Lock()
		before := g.before
		g.mu.Unlock()
		if before != nil {
			before()
			g.drive()
		}
		g.n.Command(cmd, done)
	})
}
func (g *adminRig) After(_ time.Duration, f func()) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := len(g.timers) + 1
	for g.timers[id] != nil {
		id++
	}
	g.timers[id] = f
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.timers, id)
	}
}

func (g *adminRig) Cold() ColdLog                      { return nil }
func (g *adminRig) RunCold(func(context.Context)) bool { return false }

func (g *adminRig) RunLookup(func(context.Context)) bool { return false }

var _ Backend = (*adminRig)(nil)
