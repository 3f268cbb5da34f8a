//go:build hostile

package hostile

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	victimTopic      = "victim"
	victimPartitions = 3
	victimEvery      = 10 * time.Millisecond
	// deliveryTimeout is a client's own, as in the Java producer.
	deliveryTimeout = 2 * time.Minute
	// servedWithin is the longest that a record may take while a broker is
	// attacked. It takes about a second; half a minute is not served.
	servedWithin = 30 * time.Second
)

// victim is an ordinary producer and an ordinary group consumer.
type victim struct {
	producer, consumer *kgo.Client
	stop               chan struct{}
	ended              sync.WaitGroup

	mu      sync.Mutex
	sent    []time.Time
	acked   int
	read    []int         // how often each number was read
	stalled time.Duration // the longest time from a record being sent to its being acknowledged and read
	last    map[int32]int // number read last, by partition
	wrong   []string
}

func startVictim(t testing.TB, addr string) *victim {
	t.Helper()
	v := &victim{stop: make(chan struct{}), last: map[int32]int{}}
	var err error
	if v.producer, err = kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(victimTopic),
		kgo.RecordDeliveryTimeout(deliveryTimeout)); err != nil {
		t.Fatal(err)
	}
	if v.consumer, err = kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(victimTopic), kgo.ConsumerGroup("victims"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		t.Fatal(err)
	}
	v.ended.Go(v.consume)
	v.ended.Go(v.produce)
	v.await(t, "the victim's first records", func() bool { return v.complete() && len(v.sent) > 10 })
	v.mu.Lock()
	v.stalled = 0 // a group takes its time to begin
	v.mu.Unlock()
	return v
}

func (v *victim) produce() {
	tick := time.NewTicker(victimEvery)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
		}
		v.mu.Lock()
		n, began := len(v.sent), time.Now()
		v.sent, v.read = append(v.sent, began), append(v.read, 0)
		v.mu.Unlock()
		value := make([]byte, 500)
		binary.BigEndian.PutUint64(value, uint64(n))
		v.producer.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if err != nil {
				v.wrong = append(v.wrong, "a record was not accepted: "+err.Error())
				return
			}
			v.acked++
			v.stalled = max(v.stalled, time.Since(began))
		})
	}
}

func (v *victim) consume() {
	for {
		fetches := v.consumer.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		v.mu.Lock()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) {
				v.wrong = append(v.wrong, "a fetch failed: "+err.Error())
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			n := int(binary.BigEndian.Uint64(r.Value))
			if before, ok := v.last[r.Partition]; ok && n <= before {
				v.wrong = append(v.wrong, "records out of order")
			}
			v.last[r.Partition] = n
			v.read[n]++
			v.stalled = max(v.stalled, time.Since(v.sent[n]))
		})
		v.mu.Unlock()
	}
}

// complete reports whether all that was sent is acknowledged and read. The
// caller holds no lock.
func (v *victim) complete() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.read {
		if n == 0 {
			return false
		}
	}
	return v.acked == len(v.sent)
}

func (v *victim) await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(deliveryTimeout + patience); !f(); time.Sleep(5 * time.Millisecond) {
		v.mu.Lock()
		wrong := len(v.wrong) > 0
		v.mu.Unlock()
		if wrong || time.Now().After(end) {
			v.mu.Lock()
			defer v.mu.Unlock()
			t.Fatalf("waited in vain for %s: %d sent, %d acknowledged, %v", what, len(v.sent), v.acked, v.wrong)
		}
	}
}

// finish lets everything be read back and judges (H2).
func (v *victim) finish(t testing.TB) (records int, stalled time.Duration) {
	t.Helper()
	close(v.stop)
	v.await(t, "the victim's records", v.complete)
	v.producer.Close()
	v.consumer.Close()
	v.ended.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, times := range v.read {
		if times != 1 {
			t.Errorf("record %d was read %d times", n, times)
		}
	}
	for _, w := range v.wrong {
		t.Errorf("victim: %s", w)
	}
	if v.stalled > servedWithin {
		t.Errorf("a record took %v, at most %v", v.stalled, servedWithin)
	}
	return len(v.sent), v.stalled
}
