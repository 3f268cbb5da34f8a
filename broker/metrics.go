package broker

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/metric"
)

// meters are the broker's metrics: what the hot path adds to, and what is asked
// at a scrape. Any goroutine may use it.
type meters struct {
	set     *metric.Set
	handler http.Handler
	now     func() time.Time

	requests requestMeters
	chains   chainMeters
	disk     diskMeters

	mu     sync.RWMutex
	topics map[string]*topicMeters
}

// topicMeters are one topic's counters.
type topicMeters struct {
	receivedBytes, receivedRecords, receivedBatches *metric.Counter
	sentBytes, sentRecords                          *metric.Counter
}

// newMeters makes a broker's metrics. report is told of what cannot be exported.
func newMeters(seriesMax int, now func() time.Time, report func(error)) (*meters, error) {
	set := metric.NewSet(metrics.Table(), seriesMax)
	h, err := metric.Handler(set, report)
	if err != nil {
		return nil, fmt.Errorf("open the metrics: %w", err)
	}
	m := &meters{set: set, handler: h, now: now, topics: map[string]*topicMeters{}}
	m.requests.init(set)
	m.chains.init(set)
	m.disk.init(set)
	return m, nil
}

// topic returns a topic's counters.
func (m *meters) topic(name string) *topicMeters {
	m.mu.RLock()
	t := m.topics[name]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.topics[name]; t != nil {
		return t
	}
	t = &topicMeters{
		receivedBytes:   m.set.Counter(metrics.TopicReceivedBytes, name),
		receivedRecords: m.set.Counter(metrics.TopicReceivedRecords, name),
		receivedBatches: m.set.Counter(metrics.TopicReceivedBatches, name),
		sentBytes:       m.set.Counter(metrics.TopicSentBytes, name),
		sentRecords:     m.set.Counter(metrics.TopicSentRecords, name),
	}
	m.topics[name] = t
	return t
}

// prune forgets the topics that do not exist any more. What then gets a place of
// its own and was counted under "other" goes on there until the next start.
func (m *meters) prune(exists func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.topics { // order: each is looked at for itself
		if !exists(name) {
			delete(m.topics, name)
			m.set.Forget("topic", name)
		}
	}
}

// buildInfo returns what the program was built from.
func buildInfo(version string) (v, revision, goVersion string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, "", ""
	}
	if v == "" {
		v = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return v, revision, info.GoVersion
}

// openMetrics makes the metrics and has messages counted.
func (b *Broker) openMetrics() error {
	m, err := newMeters(int(b.s.MetricsSeriesMax), b.c.Now, func(err error) {
		b.c.Log.Warn("metrics cannot be exported", "error", err)
	})
	if err != nil {
		return err
	}
	b.meters = m
	b.c.Log = slog.New(newCountingHandler(b.c.Log.Handler(), m.set))
	s := newScraper(b)
	m.set.Collect(s.collect)
	return nil
}
