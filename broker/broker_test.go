package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/tiering/objstore"
)

// settings are a broker's on free loopback ports.
func settings(t *testing.T, set ...string) *config.Broker {
	t.Helper()
	s, _, err := config.Load(config.Sources{Set: append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "http.listen=127.0.0.1:0", "wal.file.bytes=8MiB", "wal.bytes.max=64MiB", "disk.reserve.bytes=1MiB",
	}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running is a broker in this process.
type running struct {
	b    *Broker
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, fs vfs.FS, set ...string) *running {
	t.Helper()
	return runWith(t, Components{FS: fs}, settings(t, set...))
}

// runWith runs a broker with given components; those that are not set are the
// usual ones, and the cold tier is in memory.
func runWith(t *testing.T, c Components, s *config.Broker) *running {
	t.Helper()
	c.Listen, c.Now = net.Listen, time.Now
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.OpenStore == nil {
		c.OpenStore = func(string) (objstore.Store, error) {
			return objstore.Open(context.Background(), "mem://", objstore.Options{})
		}
	}
	b, err := Open(c, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{b: b, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- b.Run(ctx) }()
	select {
	case <-b.Ready():
	case err := <-r.done:
		t.Fatalf("ended before it was ready: %v", err)
	}
	return r
}

// end stops the broker in order.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func (r *running) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	addresses, _ := r.b.Addresses()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.TrimPrefix(addresses[0], "PLAINTEXT://")), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestDrainAndStartAgain(t *testing.T) {
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, fs)
	cl := r.client(t)
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("a"), kgo.StringRecord("b")).FirstErr(); err == nil {
		t.Fatal("produced without a topic")
	}
	for _, v := range []string{"a", "b"} {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// A consumer that waits for more must not hold up the end.
	waiting := r.client(t, kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Minute))
	if n := waiting.PollFetches(t.Context()).NumRecords(); n == 0 {
		t.Fatal("nothing read")
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	cl.Close()
	waiting.Close()

	r = run(t, fs)
	reader := r.client(t, kgo.ConsumeTopics("t"))
	var got []string
	for len(got) < 2 {
		reader.PollFetches(t.Context()).EachRecord(func(k *kgo.Record) { got = append(got, string(k.Value)) })
	}
	if strings.Join(got, " ") != "a b" {
		t.Fatal(got)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
}

// A reader comes to the end of a partition that ends in a hole although another
// partition of its fetches always has something.
func TestHoleBesideABusyPartition(t *testing.T) {
	r := run(t, vfs.NewMem(vfs.MemOptions{}))
	cl := r.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	for {
		if _, err := (pluginAdmin{r.b}).PutStage(t.Context(), "s", []byte(`{"plugin": "builtin/filter", "hook": "transform", "parameters": {"drop": {"key_prefix": "drop"}}}`)); err == nil {
			break
		} else if !errors.Is(err, admin.ErrNotFound) { // being compiled
			t.Fatal(err)
		}
	}
	if _, err := r.b.command(t.Context(), metadata.CreateTopic{Name: "t", TopicID: ident.TopicID{1}, Partitions: 2, ReplicationFactor: 1,
		Configs: []metadata.KV{{Name: metadata.ChainConfig, Value: "s"}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.b.awaitChain(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	dropped := &kgo.Record{Topic: "t", Partition: 0, Key: []byte("drop"), Value: []byte("x")}
	if err := cl.ProduceSync(t.Context(), dropped).FirstErr(); err != nil {
		t.Fatal(err)
	}
	stop, busy := context.WithCancel(t.Context())
	defer busy()
	go func() {
		for stop.Err() == nil {
			cl.ProduceSync(stop, &kgo.Record{Topic: "t", Partition: 1, Key: []byte("keep"), Value: []byte("y")})
		}
	}()
	reader := r.client(t, kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Minute), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		"t": {0: kgo.NewOffset().At(0), 1: kgo.NewOffset().At(0)},
	}))
	for done := false; !done; {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(k *kgo.Record) { done = done || k.Partition == 0 && k.Attrs.IsControl() })
	}
	busy()
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryIsRefused(t *testing.T) {
	fs := vfs.NewMem(vfs.MemOptions{})
	id, lock, err := openDirectory(fs, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDirectory(fs, 1, ""); !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "another broker") {
		t.Fatal(err)
	}
	lock.Close()
	for _, c := range []struct {
		node    int32
		cluster string
		want    string
	}{
		{2, "", "node.id=1"}, {1, "other", "cluster.id"}, {1, id.ClusterID, ""}, {1, "", ""},
	} {
		again, lock, err := openDirectory(fs, c.node, c.cluster)
		if c.want != "" {
			if !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || again != id {
			t.Fatalf("%+v: %+v %v", c, again, err)
		}
		lock.Close()
	}
	text := []byte(id.String())
	for i := range text {
		bad := append([]byte(nil), text...)
		bad[i] ^= 1
		if _, err := parseIdentity(string(bad)); !errors.Is(err, ErrDirectory) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if err := fs.Remove(identityName); err != nil {
		t.Fatal(err)
	}
	if err := fs.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDirectory(fs, 1, ""); !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "holds data") {
		t.Fatal(err)
	}
}
