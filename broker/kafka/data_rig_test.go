package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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

// rigPatience bounds what a test waits for something that must happen.
const rigPatience = 20 * time.Second

// rigTimer is a deadline that a handler asked for. The test decides when it
// passes.
type rigTimer struct {
	d       time.Duration
	fire    func()
	stopped chan struct{}
}

// dataRig is a Backend on a real node over a file system in memory, behind a
// real server. Whatever is proposed is applied before the proposer goes on.
type dataRig struct {
	t      testing.TB
	cfg    *config.Broker
	server *wire.Server
	addr   string
	timers chan rigTimer
	// instant lets every deadline pass at once.
	instant bool
	// starting lets the broker not serve yet.
	starting atomic.Bool
	log      *rigLog
	groups   *rigGroups
	cold     ColdLog
	coldFull atomic.Bool // no cold read is taken

	mu     sync.Mutex // owns the node
	n      *node.Node
	nextID int64
	now    time.Time
}

// rigLog collects log lines.
type rigLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *rigLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *rigLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newDataRig(t testing.TB, set ...string) *dataRig {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	e := replog.DefaultConfig(vfs.NewMem(vfs.MemOptions{}))
	n := uint64(0)
	e.WAL.Entropy = func() uint64 { n++; return n * 0x9e3779b97f4a7c15 }
	e.DiskReserve = 0
	r := &dataRig{t: t, cfg: cfg, timers: make(chan rigTimer, 1000), log: &rigLog{}, nextID: 1000, now: time.UnixMilli(1_700_000_000_000)}
	r.n, _, err = node.Open(node.Config{
		Engine: e, ID: 1, ClusterID: "rig-cluster", QueueBytesMax: 8 << 20, MaintainEvery: time.Minute,
		Plan: func(*metadata.Topic) node.TopicPlan { return node.TopicPlan{Settings: partition.DefaultSettings()} },
	}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	r.drive()
	r.Command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "rig.test", Port: 9092}, r.must)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.groups = newRigGroups(r, log)
	r.server = wire.NewServer(wire.Settings{Known: Known, AnswerBytes: cfg.MemoryResponseBytes}, New(r, log), log)
	served := make(chan error, 1)
	go func() { served <- r.server.Serve("PLAINTEXT", l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.server.Shutdown(ctx)
		<-served
		r.groups.c.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n.Close()
	})
	return r
}

func (r *dataRig) must(res metadata.Result) {
	if res.Err != nil {
		r.t.Error(res.Err)
	}
}

// drive performs the node's tasks until nothing is left to do.
func (r *dataRig) drive() {
	for {
		tasks := r.n.Poll(r.now)
		if err := r.n.Err(); err != nil {
			r.t.Error(err)
			return
		}
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			_ = task.Do()
			r.n.Done(r.now, task)
		}
	}
}

// createTopic makes a topic with settings given as name, value, name, value.
func (r *dataRig) createTopic(name string, partitions int32, settings ...string) ident.TopicID {
	r.t.Helper()
	cmd := metadata.CreateTopic{Name: name, TopicID: newTopicID(), Partitions: partitions, ReplicationFactor: 1, Internal: name[0] == '_'}
	for i := 0; i < len(settings); i += 2 {
		cmd.Configs = append(cmd.Configs, metadata.KV{Name: settings[i], Value: settings[i+1]})
	}
	r.Command(cmd, r.must)
	return cmd.TopicID
}

func (r *dataRig) Ready() bool            { return r.n.Ready() && !r.starting.Load() }
func (r *dataRig) Image() *metadata.Image { return r.n.Image() }
func (r *dataRig) NodeID() ident.NodeID   { return 1 }
func (r *dataRig) Config() *config.Broker { return r.cfg }
func (r *dataRig) Now() time.Time         { return r.now }
func (r *dataRig) Run(f func())           { go f() }

func (r *dataRig) Advertised(listener string) (string, int32) { return "rig.test", 9092 }

func (r *dataRig) Replica(id ident.Partition) *node.Replica { return r.n.Replica(id) }

func (r *dataRig) Topic(t *metadata.Topic) *config.Topic {
	set := config.EffectiveTopic(overrides(t.Configs), r.cfg)
	return &set
}

func (r *dataRig) Produce(batches []Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range batches {
		if b.Append == nil {
			b.Partition.Refused(b.Refused)
		} else {
			b.Partition.Produce(b.Append)
		}
	}
	r.drive()
}

func (r *dataRig) DeleteRecords(p *partition.Partition, q *partition.StartRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.DeleteRecords(q, r.now.UnixMilli())
	r.drive()
}

func (r *dataRig) Command(c metadata.Command, done func(metadata.Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n.Command(c, done)
	r.drive()
}

func (r *dataRig) Cold() ColdLog { return r.cold }

func (r *dataRig) RunCold(f func(context.Context)) bool {
	if r.coldFull.Load() {
		return false
	}
	go f(context.Background())
	return true
}

func (r *dataRig) RunLookup(f func(context.Context)) bool { return r.RunCold(f) }

func (r *dataRig) ProducerID(done func(int64, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextID++
	done(r.nextID, nil)
}

func (r *dataRig) After(d time.Duration, f func()) func() {
	timer := rigTimer{d: d, fire: f, stopped: make(chan struct{})}
	if r.instant {
		go f()
	} else {
		r.timers <- timer
	}
	return sync.OnceFunc(func() { close(timer.stopped) })
}

// take takes the next value of a channel, or fails the test.
func take[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(rigPatience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// rigClient speaks to a dataRig.
type rigClient struct {
	t    testing.TB
	nc   net.Conn
	last int32
}

func (r *dataRig) dial() *rigClient {
	r.t.Helper()
	return r.dialFor(r.t)
}

// dialFor is dial for a part of a test that ends earlier.
func (r *dataRig) dialFor(t testing.TB) *rigClient {
	t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(r.deadline())
	t.Cleanup(func() { nc.Close() })
	return &rigClient{t: t, nc: nc}
}

// rigFrame is a request as a client sends it.
func rigFrame(key, version int16, correlation int32, flexible bool, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(key))
	b = appendInt16(b, version)
	b = appendInt32(b, correlation)
	b = append(b, 0, 3, 'r', 'i', 'g')
	b = appendNoTags(b, flexible)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// send sends a request.
func (c *rigClient) send(q kmsg.Request) {
	c.t.Helper()
	c.last++
	if _, err := c.nc.Write(rigFrame(q.Key(), q.GetVersion(), c.last, q.IsFlexible(), q.AppendTo(nil))); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the next response, which must be that of the last request.
func (c *rigClient) receive(r kmsg.Response) {
	c.t.Helper()
	if err := c.read(r); err != nil {
		c.t.Fatalf("%T version %d: %v", r, r.GetVersion(), err)
	}
}

func (c *rigClient) read(r kmsg.Response) error {
	body, err := c.body(r.IsFlexible() && r.Key() != apiVersionsKey)
	if err != nil {
		return err
	}
	if err := r.ReadFrom(body); err != nil {
		return err
	}
	// What is decoded is encoded to the same bytes: nothing was left over.
	if again := r.AppendTo(nil); len(again) != len(body) {
		return fmt.Errorf("%d bytes, %d of them known", len(body), len(again))
	}
	return nil
}

// body reads the next response behind its header.
func (c *rigClient) body(tagged bool) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(c.nc, b); err != nil {
		return nil, err
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != c.last {
		return nil, fmt.Errorf("correlation id %d, want %d", id, c.last)
	}
	if tagged {
		b = b[1:]
	}
	return b, nil
}

// call sends a request of a version and returns its response.
func call[R kmsg.Response](c *rigClient, version int16, q kmsg.Request) R {
	c.t.Helper()
	q.SetVersion(version)
	c.send(q)
	r := q.ResponseKind()
	c.receive(r)
	return r.(R)
}

// closed checks that the connection ends without another byte.
func (c *rigClient) closed() {
	c.t.Helper()
	var b [1]byte
	if n, err := c.nc.Read(b[:]); n != 0 || !errors.Is(err, io.EOF) {
		c.t.Fatalf("read %d bytes, %v; want a closed connection", n, err)
	}
}

// rigBatch makes a batch of values with the timestamp of the rig's clock.
func rigBatch(t testing.TB, p record.Params, values ...string) []byte {
	t.Helper()
	b := record.NewBuilder(p)
	for i, v := range values {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), TimestampDelta: int64(i), Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rigParams() record.Params { return record.DefaultParams(record.None, 1_700_000_000_000) }

// rigProduce makes a request for one partition.
func rigProduce(topic string, id ident.TopicID, index int32, batch []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks = -1
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = index, batch
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// rigFetch makes a request for one partition.
func rigFetch(topic string, id ident.TopicID, index int32, from int64) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.MinBytes = 1<<20, 1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = index, from, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

func (r *dataRig) deadline() time.Time { return time.Now().Add(rigPatience) }
