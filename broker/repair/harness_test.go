package repair

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path"
	"sort"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

var start = time.UnixMilli(1_000_000)

func walSettings(seed uint64) wal.Settings {
	s := wal.DefaultSettings()
	rng := rand.New(rand.NewPCG(seed, 1))
	s.Entropy = rng.Uint64
	s.FirstFileBytes, s.FileBytes, s.BytesMax, s.ReserveBytes = 128<<10, 128<<10, 2<<20, 16<<10
	s.Directory = [16]byte{7}
	return s
}

func options(seed uint64) Options { return Options{WAL: walSettings(seed), Node: 1} }

// life is a broker's node on a disk in memory, and what it told its clients.
type life struct {
	t     testing.TB
	fs    vfs.FS
	n     *node.Node
	now   time.Time
	seed  uint64
	parts []ident.Partition
	acked map[ident.Partition]map[ident.Offset]string
	epoch map[ident.Partition]ident.Epoch // highest told
	count int
}

func newLife(t testing.TB, fs vfs.FS) *life {
	return &life{t: t, fs: fs, now: start, acked: map[ident.Partition]map[ident.Offset]string{}, epoch: map[ident.Partition]ident.Epoch{}}
}

func config(fs vfs.FS, seed uint64) node.Config {
	e := replog.DefaultConfig(fs)
	e.WAL = walSettings(seed)
	e.DiskReserve = 0
	return node.Config{
		Engine: e, ID: 1, ClusterID: "test", QueueBytesMax: 8 << 20, MaintainEvery: time.Hour,
		Plan: func(*metadata.Topic) node.TopicPlan {
			s := partition.DefaultSettings()
			s.SegmentBytes, s.IndexIntervalBytes = 4<<10, 512
			return node.TopicPlan{Settings: s, Upkeep: partition.Upkeep{}}
		},
	}
}

// open opens the node and lets it lead, and returns why it refuses.
func (l *life) open() error {
	l.seed++
	n, _, err := node.Open(config(l.fs, l.seed), l.now)
	if err != nil {
		return err
	}
	l.n = n
	l.drive()
	return nil
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// drive performs tasks at once until nothing is left to do.
func (l *life) drive() {
	l.t.Helper()
	for {
		tasks := l.n.Poll(l.now)
		if l.n.Err() != nil {
			l.t.Fatal(l.n.Err())
		}
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			_ = task.Do()
			l.n.Done(l.now, task)
		}
	}
}

func (l *life) command(c metadata.Command) {
	l.t.Helper()
	l.n.Command(c, func(r metadata.Result) { l.must(r.Err) })
	l.drive()
}

func (l *life) create(name string, partitions int) {
	l.t.Helper()
	if l.n.Image().TopicCount() == 0 {
		l.command(metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092})
	}
	id := ident.TopicID{byte(len(l.parts) + 1), 9}
	l.command(metadata.CreateTopic{Name: name, TopicID: id, Partitions: int32(partitions), ReplicationFactor: 1})
	for i := range partitions {
		p := ident.Partition{Topic: id, Index: int32(i)}
		l.parts = append(l.parts, p)
		l.acked[p] = map[ident.Offset]string{}
	}
}

func batch(t testing.TB, value string) []byte {
	b := record.NewBuilder(record.DefaultParams(record.None, 1000))
	if err := b.Append(&record.Record{Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
	out, err := b.Finish(0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// produce sends values, one record each, all at once if together.
func (l *life) produce(p ident.Partition, n int, together bool) {
	l.t.Helper()
	r := l.n.Replica(p)
	if r == nil || r.Partition == nil {
		l.t.Fatalf("no partition %v", p)
	}
	for range n {
		l.count++
		value := fmt.Sprintf("%v record %d %0*d", p.Index, l.count, 10+l.count%150, l.count)
		b := batch(l.t, value)
		h, err := record.ParseHeader(b)
		l.must(err)
		r.Partition.Produce(&partition.Append{Entry: partition.NewEntry(b, int64(l.count), 0, nil), Header: h, Done: func(a *partition.Append) {
			if a.Err != nil {
				l.t.Errorf("produce: %v", a.Err)
				return
			}
			if old, ok := l.acked[p][a.Base]; ok {
				l.t.Errorf("offset %d of %v was told for %q and is told for %q", a.Base, p, old, value)
			}
			l.acked[p][a.Base] = value
			o, _ := r.Partition.Offsets()
			l.epoch[p] = max(l.epoch[p], o.LeaderEpoch)
		}})
		if !together {
			l.drive()
		}
	}
	l.drive()
}

func (l *life) checkpoint() {
	l.n.Checkpoint()
	l.drive()
}

// read returns what can be read of a partition by offset, up to its end. An error
// is one of the partition as a whole; bad are offsets at which a batch cannot be
// read, and behind which reading goes on.
func (l *life) read(p ident.Partition) (values map[ident.Offset]string, end ident.Offset, err error) {
	r := l.n.Replica(p)
	if r == nil {
		return nil, 0, fmt.Errorf("no replica of %v", p)
	}
	if r.Partition == nil {
		return nil, 0, r.Err
	}
	o, err := r.Partition.Offsets()
	if err != nil {
		return nil, 0, err
	}
	values = map[ident.Offset]string{}
	for at := o.LogStart; at < o.HighWatermark; {
		c, err := r.Partition.Read(at, o.HighWatermark, 1<<20, true)
		if err != nil {
			return values, o.HighWatermark, err
		}
		var all []byte
		for _, b := range c.Buffers {
			all = append(all, b...)
		}
		for len(all) > 0 {
			h, err := record.ParseHeader(all)
			l.must(err)
			err = record.ForEach(all[:h.Size()], 0, func(rec *record.Record) error {
				values[ident.Offset(h.BaseOffset)+ident.Offset(rec.OffsetDelta)] = string(rec.Value)
				return nil
			})
			l.must(err)
			all = all[h.Size():]
		}
		if c.NextOffset <= at {
			l.t.Fatalf("reading stands still at %d of %d", at, o.HighWatermark)
		}
		at = c.NextOffset
	}
	return values, o.HighWatermark, nil
}

// history builds a log with several partitions, a checkpoint, two starts and
// something behind it.
func history(t testing.TB) (*life, *vfs.Mem) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := newLife(t, fs)
	l.must(l.open())
	l.create("orders", 2)
	l.create("payments", 1)
	for _, p := range l.parts {
		l.produce(p, 20, true)
	}
	l.checkpoint()
	for range 3 {
		for _, p := range l.parts {
			l.produce(p, 7, true)
		}
	}
	l.create("late", 1)
	l.produce(l.parts[3], 5, false)
	l.n.Close()
	l.must(l.open())
	for _, p := range l.parts {
		l.produce(p, 6, true)
	}
	l.checkpoint()
	for range 2 {
		for _, p := range l.parts {
			l.produce(p, 5, true)
		}
	}
	l.n.Close()
	return l, fs
}

// clone copies a disk, everything durable.
func clone(t testing.TB, fs vfs.FS) *vfs.Mem {
	t.Helper()
	out := vfs.NewMem(vfs.MemOptions{})
	var names []string
	for name := range files(t, fs, ".") {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		b, err := vfs.ReadFile(fs, name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.MkdirAll(path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		f, err := out.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := out.SyncAll(); err != nil {
		t.Fatal(err)
	}
	return out
}

// liveBytes is the length of a file without zeros at its end.
func liveBytes(t testing.TB, fs vfs.FS, name string) int64 {
	t.Helper()
	b, err := vfs.ReadFile(fs, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(bytes.TrimRight(b, "\x00")))
}

// longHistory fills several files of the log, lets checkpoints free the first
// ones, and stops once without and once with a checkpoint.
func longHistory(t testing.TB) (*life, *vfs.Mem) {
	fs := vfs.NewMem(vfs.MemOptions{})
	l := newLife(t, fs)
	l.must(l.open())
	l.create("orders", 2)
	l.create("payments", 1)
	for round := range 12 {
		for _, p := range l.parts {
			l.produce(p, 40+10*round, true)
		}
		switch round {
		case 3, 7, 10:
			l.checkpoint()
		case 5:
			l.n.Close()
			l.must(l.open())
		}
	}
	l.n.Close()
	l.must(l.open())
	l.checkpoint()
	for _, p := range l.parts {
		l.produce(p, 3, false)
	}
	l.n.Close()
	return l, fs
}
