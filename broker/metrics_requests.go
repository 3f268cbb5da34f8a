package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/broker/kafka"
	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/metric"
)

// keysMax is above every API key of Kafka.
const keysMax = 128

// requestMeters count requests. Instruments of an API key are made when it is
// first used, so that a scrape names only those.
type requestMeters struct {
	set       *metric.Set
	durations [keysMax]atomic.Pointer[metric.Histogram]
	reads     *metric.Histogram

	mu     sync.Mutex
	errors map[keyCode]*metric.Counter
}

type keyCode struct{ key, code int16 }

func (r *requestMeters) init(set *metric.Set) {
	r.set, r.reads, r.errors = set, set.Histogram(metrics.FetchReadDuration), map[keyCode]*metric.Counter{}
}

var _ kafka.Observer = (*meters)(nil)

// Answered implements kafka.Observer.
func (m *meters) Answered(key int16, d time.Duration) {
	if key < 0 || key >= keysMax {
		return
	}
	h := m.requests.durations[key].Load()
	if h == nil {
		h = m.set.Histogram(metrics.RequestDuration, kafka.APIName(key))
		m.requests.durations[key].Store(h)
	}
	h.Record(int64(d))
}

// Aborted implements kafka.Observer.
func (m *meters) Aborted(key int16) {
	m.set.Counter(metrics.RequestsAborted, kafka.APIName(key)).Add(1)
}

// Failed implements kafka.Observer.
func (m *meters) Failed(key, code int16) {
	r := &m.requests
	r.mu.Lock()
	c := r.errors[keyCode{key, code}]
	if c == nil {
		c = r.set.Counter(metrics.RequestErrors, kafka.APIName(key), kafka.ErrorName(code))
		r.errors[keyCode{key, code}] = c
	}
	r.mu.Unlock()
	c.Add(1)
}

// Produced implements kafka.Observer.
func (m *meters) Produced(topic string, records int, bytes int64) {
	t := m.topic(topic)
	t.receivedBytes.Add(bytes)
	t.receivedRecords.Add(int64(records))
	t.receivedBatches.Add(1)
}

// Fetched implements kafka.Observer.
func (m *meters) Fetched(topic string, records int, bytes int64) {
	t := m.topic(topic)
	t.sentBytes.Add(bytes)
	t.sentRecords.Add(int64(records))
}

// FetchRead implements kafka.Observer.
func (m *meters) FetchRead(d time.Duration) { m.requests.reads.Record(int64(d)) }
