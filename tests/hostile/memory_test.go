//go:build hostile

package hostile

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

// noise is a batch of one record that does not compress.
func noise(a *attack, n int) []byte {
	a.t.Helper()
	v := make([]byte, n)
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range v {
		v[i] = byte(rng.Uint32())
	}
	b := record.NewBuilder(record.DefaultParams(record.None, time.Now().UnixMilli()))
	if err := b.Append(&record.Record{Value: v}); err != nil {
		a.t.Fatal(err)
	}
	batch, err := b.Finish(-1)
	if err != nil {
		a.t.Fatal(err)
	}
	return batch
}

// produceTo is a produce request with the same batch for several partitions.
func produceTo(topic string, from, to int32, batch []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	for p := from; p < to; p++ {
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: batch})
	}
	q.Topics = append(q.Topics, t)
	return q
}

func fetchOf(topic string, partitions int32) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.MinBytes = 1<<31-1, 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for p := range partitions {
		r := kmsg.NewFetchRequestTopicPartition()
		r.Partition, r.PartitionMaxBytes, r.CurrentLeaderEpoch = p, 1<<31-1, -1
		t.Partitions = append(t.Partitions, r)
	}
	q.Topics = append(q.Topics, t)
	return q
}

// fetchFlood asks for as much as there is, on many connections, 64 times each,
// and reads nothing.
func fetchFlood(a *attack) {
	const topic, partitions = "flood", 4
	a.createTopic(topic, partitions)
	batch := noise(a, 900<<10)
	c := a.dial()
	for range 24 { // 24 x 4 x 900 KiB: far beyond the tail cache
		c.call(produceTo(topic, 0, partitions, batch), 7, kmsg.NewPtrProduceResponse())
	}
	c.nc.Close()
	conns := a.stingy(100 * a.scale)
	var b []byte
	for i := range 64 {
		b = append(b, request(fetchOf(topic, partitions), 11, int32(i))...)
	}
	unread(conns, b, 5*time.Second)
	a.wellFormed()
	a.readers(topic, partitions)
	a.met = fmt.Sprintf("%d connections with 64 fetches of 16 MiB each", len(conns))
	closeAll(conns)
}

// readers read what the flood asks for, as they should, and all get it.
func (a *attack) readers(topic string, partitions int32) {
	var wg sync.WaitGroup
	for range 8 {
		c := a.dial()
		wg.Go(func() {
			defer c.nc.Close()
			for i := range int32(3) {
				if err := c.send(request(fetchOf(topic, partitions), 11, i)); err != nil {
					a.t.Errorf("fetch: %v", err)
					return
				}
				id, body, err := c.answer(patience)
				if err != nil || id != i || len(body) < 64<<10 {
					a.t.Errorf("fetch %d: answer %d of %d bytes, %v", i, id, len(body), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// produceFlood sends many large produce requests at once, to many partitions, and
// reads few of the answers.
func produceFlood(a *attack) {
	const topic, partitions = "wide", 100
	a.createTopic(topic, partitions)
	batch := noise(a, 250<<10)
	var requests [][]byte
	for from := int32(0); from < partitions; from += 25 {
		requests = append(requests, request(produceTo(topic, from, from+25, batch), 7, from))
	}
	var wg sync.WaitGroup
	var sent, ended atomic.Int64
	stop := time.Now().Add(time.Duration(4*a.scale) * time.Second)
	for i := range 40 {
		nc, err := dial(a.p.Addr(), 0)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { nc.Close() })
		wg.Go(func() {
			defer nc.Close()
			for n := i; time.Now().Before(stop); n++ {
				_ = nc.SetWriteDeadline(stop)
				if _, err := nc.Write(requests[n%len(requests)]); err != nil {
					ended.Add(1)
					return
				}
				sent.Add(1)
			}
		})
	}
	wg.Wait()
	a.conns, a.logs = 40, 2*partitions
	a.wellFormed()
	a.met = fmt.Sprintf("40 connections got %d requests of 6 MiB in", sent.Load())
}

// connections opens 10,000 connections, or as many as the system allows, and
// leaves half of them in the middle of a request.
func connections(a *attack) {
	n := min(10_000*a.scale, a.files-500, 60_000)
	conns := a.many(n)
	for i, nc := range conns {
		switch i % 4 {
		case 0:
			_, _ = nc.Write(header(100, 3, 1, 1)[:9])
		case 1:
			_, _ = nc.Write(header(1<<20, 0, 7, 1))
		case 2:
			_, _ = nc.Write(request(apiVersions(), 3, 1))
		}
	}
	if m := int(a.metrics()["varve_connections"]); m < n {
		a.t.Errorf("%d connections of %d", m, n)
	}
	a.wellFormed()
	half := conns[:n/2]
	for _, nc := range half { // and these vanish all at once
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	closeAll(conns)
	a.met = fmt.Sprintf("%d connections of %d wanted (files allowed: %d)", n, 10_000*a.scale, a.files)
}

// connectionLimits shows that what one address may open is bounded, and that idle
// connections are closed.
func connectionLimits(a *attack) {
	refused, idle := 0, 0
	var conns []net.Conn
	for range 120 {
		nc, err := dial(a.p.Addr(), 7)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { nc.Close() })
		_, _ = nc.Write(request(apiVersions(), 3, 1))
		conns = append(conns, nc)
	}
	for _, nc := range conns {
		r := &raw{t: a.t, nc: nc}
		if n, closed := r.answersUntilClosed(1, patience); !closed {
			a.t.Error("an idle connection is not closed")
		} else if n == 0 {
			refused++
		} else {
			idle++
		}
	}
	if refused != 60 || idle != 60 {
		a.t.Errorf("%d refused and %d closed when idle, want 60 and 60", refused, idle)
	}
	a.wellFormed()
	a.met = fmt.Sprintf("%d refused at once, %d closed when idle", refused, idle)
}
