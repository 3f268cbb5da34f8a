package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/objstore"
)

// cold is a broker with an object store that can be taken down.
type cold struct {
	*running
	t     *testing.T
	fs    vfs.FS
	store *keptStore
}

// keptStore survives the broker, as a bucket does.
type keptStore struct {
	objstore.Store
	down atomic.Bool
	gets atomic.Int64
}

func (s *keptStore) Close() error { return nil }

var coldSettings = []string{
	"remote.log.manager.task.interval.ms=100", "tier.delete.delay.ms=0", "log.retention.check.interval.ms=200",
	"tier.cache.bytes=16MiB",
}

func newCold(t *testing.T) *cold {
	t.Helper()
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mem, err := objstore.Open(t.Context(), "mem://", objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &cold{t: t, fs: fs, store: &keptStore{}}
	c.store.Store = objstore.NewFaulty(mem, func(_ context.Context, op objstore.Op) objstore.Fault {
		if op.Kind == objstore.OpGetRange {
			c.store.gets.Add(1)
		}
		if c.store.down.Load() {
			return objstore.Fault{Err: fmt.Errorf("test: %w", objstore.ErrUnavailable)}
		}
		return objstore.Fault{}
	})
	c.start()
	return c
}

func (c *cold) start() {
	c.t.Helper()
	c.running = runWith(c.t, Components{FS: c.fs, OpenStore: func(string) (objstore.Store, error) { return c.store, nil }}, settings(c.t, coldSettings...))
}

func (c *cold) admin() *kadm.Client { return kadm.NewClient(c.client(c.t)) }

// topic makes a tiered topic whose closed segments leave the disk at once.
func (c *cold) topic(name string, more map[string]string) {
	c.t.Helper()
	configs := map[string]*string{
		"remote.storage.enable": kadm.StringPtr("true"), "segment.bytes": kadm.StringPtr("1048576"), "local.retention.bytes": kadm.StringPtr("1"),
		"retention.ms": kadm.StringPtr("-1"),
	}
	for k, v := range more {
		configs[k] = kadm.StringPtr(v)
	}
	if _, err := c.admin().CreateTopic(c.t.Context(), 1, 1, configs, name); err != nil {
		c.t.Fatal(err)
	}
}

// produce writes n records of about 10 KiB, and returns their values.
func (c *cold) produce(topic string, from, n int) [][]byte {
	c.t.Helper()
	cl := c.client(c.t, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	var values [][]byte
	for i := range n {
		v := bytes.Repeat([]byte(fmt.Sprintf("%09d,", from+i)), 1024)
		values = append(values, v)
		cl.Produce(c.t.Context(), &kgo.Record{Value: v, Timestamp: time.UnixMilli(int64(1_700_000_000_000 + from + i))}, func(_ *kgo.Record, err error) {
			if err != nil {
				c.t.Error(err)
			}
		})
		if i%10 == 9 { // batches that are small against a segment
			if err := cl.Flush(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	if err := cl.Flush(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return values
}

// wait waits for something that the broker does by itself.
func (c *cold) wait(what string, f func(admin.TierPartition) bool) admin.TierPartition {
	c.t.Helper()
	var last admin.TierPartition
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := pluginAdmin{c.b}.TierStatus(c.t.Context(), "")
		if err != nil {
			c.t.Fatal(err)
		}
		if len(s.Partitions) > 0 {
			last = s.Partitions[0]
			if f(last) {
				return last
			}
		}
	}
	c.t.Fatalf("%s: still %+v", what, last)
	return last
}

func (c *cold) offloaded() admin.TierPartition {
	c.t.Helper()
	return c.wait("offload", func(p admin.TierPartition) bool {
		return p.Segments > 3 && p.PendingSegments == 0 && p.LocalLogStartOffset == p.TieredEndOffset
	})
}

// read reads values from an offset to the end of the log.
func (c *cold) read(topic string, from int64, want [][]byte) {
	c.t.Helper()
	cl := c.client(c.t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for i := 0; i < len(want); {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("read %d of %d records", i, len(want))
		}
		f.EachRecord(func(r *kgo.Record) {
			if i < len(want) && (r.Offset != from+int64(i) || !bytes.Equal(r.Value, want[i])) {
				c.t.Fatalf("record %d: offset %d, %.9q", i, r.Offset, r.Value)
			}
			i++
		})
	}
}

// S5: what went to the tier and left the disk is read back byte for byte, cold
// and hot in one pass, also after a restart.
func TestS5ColdAndHotInOnePass(t *testing.T) {
	c := newCold(t)
	c.topic("t", nil)
	values := c.produce("t", 0, 800)
	p := c.offloaded()
	if p.LocalLogStartOffset == 0 || p.LogStartOffset != 0 || p.Bytes < 6<<20 {
		t.Fatalf("%+v", p)
	}
	c.read("t", 0, values)
	c.read("t", 137, values[137:])
	if c.store.gets.Load() == 0 {
		t.Fatal("nothing was read from the store")
	}
	c.end(t)
	c.start()
	values = append(values, c.produce("t", 800, 100)...)
	c.read("t", 0, values)
	c.end(t)
}

// The store being down fails no produce and no reader of the tail; a reader of
// the cold part gets through when it is up again.
func TestStoreDown(t *testing.T) {
	c := newCold(t)
	c.topic("t", nil)
	values := c.produce("t", 0, 600)
	p := c.offloaded()
	c.store.down.Store(true)
	values = append(values, c.produce("t", 600, 400)...)
	c.read("t", p.LocalLogStartOffset, values[p.LocalLogStartOffset:])
	stuck := c.wait("an error", func(p admin.TierPartition) bool { return p.Error != "" && p.PendingSegments > 0 })
	if stuck.LocalLogStartOffset != p.LocalLogStartOffset {
		t.Fatalf("S1: local segments went without an upload: %+v", stuck)
	}
	got := make(chan struct{})
	go func() { c.read("t", 0, values); close(got) }()
	select {
	case <-got:
		t.Fatal("the cold part was read while the store was down")
	case <-time.After(2 * time.Second):
	}
	c.store.down.Store(false)
	<-got
	c.offloaded()
	c.end(t)
}

// ListOffsets over both tiers: by time, and all questions.
func TestListOffsetsOverBothTiers(t *testing.T) {
	c := newCold(t)
	c.topic("t", nil)
	c.produce("t", 0, 600)
	p := c.offloaded()
	adm := c.admin()
	for _, want := range []int64{0, 1, 57, p.LocalLogStartOffset - 1, p.LocalLogStartOffset, 599} {
		l, err := adm.ListOffsetsAfterMilli(t.Context(), 1_700_000_000_000+want, "t")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := l.Lookup("t", 0); o.Err != nil || o.Offset != want || o.Timestamp != 1_700_000_000_000+want {
			t.Errorf("by time: %+v, want %d", o, want)
		}
	}
	max, err := adm.ListMaxTimestampOffsets(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := max.Lookup("t", 0); o.Offset != 599 {
		t.Errorf("maximum timestamp: %+v", o)
	}
	for name, q := range map[string]struct {
		ask  int64
		want int64
	}{
		"earliest": {-2, 0}, "latest": {-1, 600}, "earliest local": {-4, p.LocalLogStartOffset},
		"latest tiered": {-5, p.TieredEndOffset - 1}, "earliest pending upload": {-6, p.TieredEndOffset},
	} {
		if got := c.listOffset("t", q.ask); got != q.want {
			t.Errorf("%s: %d, want %d", name, got, q.want)
		}
	}
	c.end(t)
}

// S3: DeleteRecords, retention and the deletion of the topic delete objects.
func TestS3ObjectsGoWithTheLog(t *testing.T) {
	c := newCold(t)
	c.topic("t", nil)
	values := c.produce("t", 0, 600)
	p := c.offloaded()
	if n := c.objects(); n != p.Segments {
		t.Fatalf("%d objects, %d segments", n, p.Segments)
	}
	adm := c.admin()
	var to kadm.Offsets
	to.Add(kadm.Offset{Topic: "t", Partition: 0, At: 250})
	if _, err := adm.DeleteRecords(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	p = c.wait("deletion", func(p admin.TierPartition) bool {
		return p.DeletingSegments == 0 && p.LogStartOffset == 250 && c.objects() == p.Segments
	})
	c.read("t", 250, values[250:])
	if _, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.bytes", Value: kadm.StringPtr("2000000")}}, "t"); err != nil {
		t.Fatal(err)
	}
	p = c.wait("retention", func(p admin.TierPartition) bool {
		return p.DeletingSegments == 0 && p.LogStartOffset > 250 && c.objects() == p.Segments
	})
	c.read("t", p.LogStartOffset, values[p.LogStartOffset:])
	if _, err := adm.DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); c.objects() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d objects of a deleted topic", c.objects())
		}
	}
	c.end(t)
}

// What no manifest names is listed, and nothing else is.
func TestOrphansAreListed(t *testing.T) {
	c := newCold(t)
	c.topic("t", nil)
	c.produce("t", 0, 600)
	c.offloaded()
	o, err := pluginAdmin{c.b}.Orphans(t.Context())
	if err != nil || len(o) != 0 {
		t.Fatalf("%+v %v", o, err)
	}
	if _, err := (pluginAdmin{c.b}).TierStatus(t.Context(), "nothing"); !errors.Is(err, admin.ErrNotFound) {
		t.Fatal(err)
	}
	c.end(t)
}

// objects counts the objects of the store.
func (c *cold) objects() int {
	c.t.Helper()
	l, err := c.store.List(c.t.Context(), "", "", objstore.ListMax)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, o := range l {
		if !strings.HasSuffix(o.Key, ".segment") {
			c.t.Fatalf("object %s", o.Key)
		}
	}
	return len(l)
}

// listOffset asks one of ListOffsets' questions.
func (c *cold) listOffset(topic string, ask int64) int64 {
	c.t.Helper()
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = ask
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	r, err := q.RequestWith(c.t.Context(), c.client(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
		c.t.Fatalf("question %d: error %d", ask, code)
	}
	return r.Topics[0].Partitions[0].Offset
}
