package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/varvelog/varve/benchmarks/internal/load"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// result is one measurement.
type result struct {
	rate     float64 // MB of batches per second
	cpu      float64 // processor seconds of the whole process per GB
	allocs   float64 // per batch
	p50, p99 time.Duration
	debt     int64 // bytes to replay at the end
}

// bench is a running engine and its client.
type bench struct {
	o      *owner
	parts  []*partition.Partition
	batch  []byte
	header record.Header

	slots   chan struct{} // one for each batch that may be outstanding
	answers chan answer
	failed  chan error
}

type answer struct {
	at   time.Time
	took time.Duration
}

// measure runs an engine in a new directory.
func measure(work string, partitions, size int, warm, d time.Duration) (r result, err error) {
	dir, err := os.MkdirTemp(work, "data-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	fs, err := vfs.OS(dir)
	if err != nil {
		return r, err
	}
	defer fs.(io.Closer).Close()
	b, err := start(fs, partitions, size)
	if err != nil {
		return r, err
	}
	if err = b.produce(warm, nil); err == nil {
		err = b.produce(d, &r)
	}
	debt := make(chan int64, 1)
	b.o.post(func() { debt <- b.o.n.Stats().Debt })
	select {
	case r.debt = <-debt:
	case <-time.After(10 * time.Second):
	}
	return r, errors.Join(err, b.o.close())
}

// start opens a node with one topic.
func start(fs vfs.FS, partitions, size int) (*bench, error) {
	c := node.DefaultConfig(fs)
	c.ID, c.ClusterID, c.QueueBytesMax = 1, "engine", 64<<20
	c.Engine.WAL.Entropy, c.Entropy = rand.Uint64, rand.Uint64
	c.Plan = func(*metadata.Topic) node.TopicPlan { return node.TopicPlan{Settings: partition.DefaultSettings()} }
	n, _, err := node.Open(c, time.Now())
	if err != nil {
		return nil, err
	}
	b := &bench{o: newOwner(n, c.Engine.TasksMax), batch: load.Batch(size), failed: make(chan error, 1)}
	if b.header, err = record.ParseHeader(b.batch); err != nil {
		return nil, err
	}
	waiting := min(max(outstanding(size), 4*len(b.batch))/len(b.batch), 4096)
	b.slots, b.answers = make(chan struct{}, waiting), make(chan answer, 1<<16)
	topic := ident.TopicID{1}
	for _, cmd := range []metadata.Command{
		metadata.RegisterBroker{NodeID: 1, DirectoryID: [16]byte{1}, Host: "localhost", Port: 9092},
		metadata.CreateTopic{Name: "engine", TopicID: topic, Partitions: int32(partitions), ReplicationFactor: 1},
	} {
		if err := b.command(cmd); err != nil {
			return nil, err
		}
	}
	for i := range partitions {
		p, err := b.partition(ident.Partition{Topic: topic, Index: int32(i)})
		if err != nil {
			return nil, err
		}
		b.parts = append(b.parts, p)
	}
	return b, nil
}

// outstanding is how many bytes of batches the client has unanswered.
func outstanding(size int) int {
	switch {
	case size >= 1<<20:
		return 32 << 20
	case size <= 1<<10:
		return 1 << 20
	}
	return 16 << 20
}

// command has the metadata changed, again while nobody leads it.
func (b *bench) command(c metadata.Command) error {
	result := make(chan error, 1)
	for range 100 {
		b.o.post(func() { b.o.n.Command(c, func(r metadata.Result) { result <- r.Err }) })
		err := <-result
		if err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("command %T was refused", c)
}

// partition waits until one is there and led.
func (b *bench) partition(id ident.Partition) (*partition.Partition, error) {
	found := make(chan *partition.Partition, 1)
	for range 200 {
		b.o.post(func() {
			if r := b.o.n.Replica(id); r != nil && r.Partition != nil {
				if _, err := r.Partition.Offsets(); err == nil {
					found <- r.Partition
					return
				}
			}
			found <- nil
		})
		if p := <-found; p != nil {
			return p, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, fmt.Errorf("partition %d is not there", id.Index)
}

// produce sends batches for d, waits for the last answer, and fills in r.
func (b *bench) produce(d time.Duration, r *result) error {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began, sent := processorTime(), time.Now(), 0
	var all []answer
	for stop := began.Add(d); time.Now().Before(stop); {
		select {
		case b.slots <- struct{}{}:
			b.send(b.parts[sent%len(b.parts)])
			sent++
		case a := <-b.answers:
			all = append(all, a)
		case err := <-b.failed:
			return err
		}
	}
	for len(all) < sent {
		select {
		case a := <-b.answers:
			all = append(all, a)
		case err := <-b.failed:
			return err
		case err := <-b.o.ended:
			b.o.ended <- err
			return err
		}
	}
	took := time.Since(began)
	if r == nil {
		return nil
	}
	used := processorTime() - cpu
	runtime.ReadMemStats(&after)
	bytes := float64(sent) * float64(len(b.batch))
	slices.SortFunc(all, func(x, y answer) int { return int(x.took - y.took) })
	r.rate, r.cpu = bytes/1e6/took.Seconds(), used.Seconds()/(bytes/1e9)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(sent)
	r.p50, r.p99 = all[len(all)/2].took, all[len(all)*99/100].took
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// send does for one batch what a request handler does, and hands it over.
func (b *bench) send(p *partition.Partition) {
	const covered = 21 // the batch's checksum covers what lies behind it
	if crc32.Checksum(b.batch[covered:], castagnoli) == 0 {
		return // never: the work is what matters
	}
	began := time.Now()
	a := &partition.Append{Header: b.header, Entry: partition.NewEntry(b.batch, began.UnixMilli(), 0, nil)}
	a.Done = func(a *partition.Append) {
		if a.Err != nil {
			select {
			case b.failed <- a.Err:
			default:
			}
		}
		<-b.slots
		b.answers <- answer{time.Now(), time.Since(began)}
	}
	b.o.post(func() { p.Produce(a) })
}

// processorTime is what the process used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
