package broker

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/metric"
)

// scraper tells at every scrape what is kept elsewhere in the broker. Scrapes
// come one at a time, and only while Run serves.
type scraper struct {
	b      *Broker
	opened time.Time
	owner  asked[ownerValues]
	groups asked[[]groupOffsets]

	version, revision, goVersion string
}

// ownerValues are what only the owner of the node can tell.
type ownerValues struct {
	engine   replog.Stats
	diskFree int64
	outboxes []outboxDepth // that hold something
	tier     struct{ segments, bytes int64 }
}

type outboxDepth struct {
	topic          string
	records, bytes int64
}

func newScraper(b *Broker) *scraper {
	s := &scraper{b: b, opened: b.c.Now()}
	s.version, s.revision, s.goVersion = buildInfo(b.c.Version)
	return s
}

// collect is a collector of the set.
func (s *scraper) collect(k *metric.Sink) {
	b := s.b
	image := b.node.Image()
	b.meters.prune(func(name string) bool {
		_, ok := image.Topic(name)
		return ok
	})
	ready := 0.0
	if (backend{b}).Ready() {
		ready = 1
	}
	k.Gauge(metrics.Ready, ready)
	failed := 0.0
	if b.failure.Load() != nil {
		failed = 1
	}
	k.Gauge(metrics.Failed, failed)
	k.Gauge(metrics.BuildInfo, 1, s.version, s.revision, s.goVersion)
	partitions := s.topics(k, image)
	s.connections(k)
	s.storage(k)
	k.Gauge(metrics.ChainQueued, float64(b.chains.runners.waiting()))
	k.Gauge(metrics.PluginMemory, float64(b.wasm.MemoryUsed()))
	s.cold(k)
	s.coordinator(k)
	s.owned(k, partitions)
}

// topics tells of topics and their partitions, and returns the partitions.
func (s *scraper) topics(k *metric.Sink, image *metadata.Image) (open []*node.Replica) {
	states := map[string]float64{"serving": 0, "waiting": 0, "damaged": 0}
	for t := range image.Topics() {
		here, bytes := 0, int64(0)
		for i := range t.Partitions {
			r := s.b.node.Replica(ident.Partition{Topic: t.ID, Index: int32(i)})
			if r == nil {
				continue
			}
			here++
			states[stateOf(r)]++
			if r.Partition != nil {
				bytes += r.Partition.Size()
				open = append(open, r)
			}
		}
		k.Gauge(metrics.TopicPartitions, float64(here), t.Name)
		k.Gauge(metrics.TopicLogBytes, float64(bytes), t.Name)
		k.Gauge(metrics.OutboxRecords, 0, t.Name)
		k.Gauge(metrics.OutboxBytes, 0, t.Name)
	}
	for state, n := range states { // order: each is its own series
		k.Gauge(metrics.Partitions, n, state)
	}
	return open
}

func stateOf(r *node.Replica) string {
	if r.Partition == nil {
		return "damaged"
	}
	switch _, err := r.Partition.Offsets(); {
	case err == nil:
		return "serving"
	case errors.Is(err, partition.ErrDamaged):
		return "damaged"
	}
	return "waiting"
}

func (s *scraper) connections(k *metric.Sink) {
	stats, counts := s.b.server.Stats(), s.b.server.Counts()
	small, large := s.b.server.Budgets()
	k.Gauge(metrics.Connections, float64(stats.Connections))
	k.Counter(metrics.ConnectionsAccepted, float64(counts.Accepted))
	k.Counter(metrics.ConnectionsRefused, float64(counts.Refused), "max.connections")
	k.Counter(metrics.ConnectionsRefused, float64(counts.RefusedPerIP), "max.connections.per.ip")
	k.Counter(metrics.NetworkReceivedBytes, float64(counts.ReadBytes))
	k.Counter(metrics.NetworkSentBytes, float64(counts.WrittenBytes))
	k.Gauge(metrics.RequestMemory, float64(stats.SmallBytes), "small")
	k.Gauge(metrics.RequestMemory, float64(stats.LargeBytes), "large")
	k.Gauge(metrics.RequestMemoryLimit, float64(small), "small")
	k.Gauge(metrics.RequestMemoryLimit, float64(large), "large")
	k.Gauge(metrics.RequestMemory, float64(stats.ArrivingBytes), "arriving")
	k.Gauge(metrics.RequestMemoryLimit, float64(small), "arriving")
	k.Gauge(metrics.RequestMemoryWaiting, float64(stats.Waiting))
	k.Gauge(metrics.ResponseMemory, float64(stats.AnswerBytes))
	k.Gauge(metrics.ResponseMemoryLimit, float64(s.b.server.AnswerBudget()))
	k.Gauge(metrics.ResponseMemoryWaiting, float64(stats.AnswersWaiting))
}

func (s *scraper) storage(k *metric.Sink) {
	c := s.b.node.CacheStats()
	k.Gauge(metrics.TailCache, float64(c.TailBytes))
	k.Counter(metrics.TailCacheReads, float64(c.TailHits), "memory")
	k.Counter(metrics.TailCacheReads, float64(c.TailMisses), "file")
	k.Gauge(metrics.TailCacheLimit, float64(s.b.s.TailCacheBytes))
	k.Gauge(metrics.IndexCache, float64(c.IndexBytes))
	k.Counter(metrics.IndexLoads, float64(c.IndexLoads))
	k.Counter(metrics.IndexRebuilds, float64(c.IndexRebuilt))
	k.Gauge(metrics.SegmentFiles, float64(c.OpenFiles))
	k.Gauge(metrics.WALDebtLimit, float64(s.b.s.WALBytesMax))
	k.Gauge(metrics.DiskReserve, float64(s.b.s.DiskReserveBytes))
}

func (s *scraper) cold(k *metric.Sink) {
	t := s.b.tier
	k.Counter(metrics.TierUploads, float64(t.stats.Uploads.Load()))
	k.Counter(metrics.TierUploadedBytes, float64(t.stats.UploadedBytes.Load()))
	k.Counter(metrics.TierUploadErrors, float64(t.stats.Failures.Load()))
	k.Counter(metrics.TierDeletes, float64(t.deleted.Load()))
	k.Counter(metrics.TierDeleteErrors, float64(t.failed.Load()))
	r := t.reader.Stats()
	k.Counter(metrics.TierDownloads, float64(r.Misses))
	k.Counter(metrics.TierDownloadBytes, float64(r.StoreBytes))
	k.Counter(metrics.TierDownloadErrors, float64(r.StoreErrors))
	k.Counter(metrics.TierDamaged, float64(r.Damaged))
	k.Counter(metrics.TierMemoryHits, float64(r.MemoryHits))
	k.Counter(metrics.TierCacheHits, float64(r.CacheHits))
	k.Gauge(metrics.TierCacheBytes, float64(r.Cache.Bytes))
	k.Counter(metrics.TierCacheEvictions, float64(r.Cache.Evictions))
	k.Gauge(metrics.TierReading, float64(t.reading.Load()))
}

// owned tells what the owner knows.
func (s *scraper) owned(k *metric.Sink, partitions []*node.Replica) {
	v, at := s.owner.get(s.b.c.Now, func(answer func(ownerValues, bool)) {
		s.b.owner.post(func(n *node.Node) { answer(s.ask(n, partitions), true) })
	})
	if at.IsZero() {
		at = s.opened
	}
	age := s.b.c.Now().Sub(at).Seconds()
	if age < askMax.Seconds()/2 {
		age = 0
	}
	k.Gauge(metrics.OwnerAge, age)
	k.Gauge(metrics.WALDebt, float64(v.engine.Debt))
	k.Gauge(metrics.WALWaiting, float64(v.engine.Waiting))
	k.Counter(metrics.WALPaced, float64(v.engine.PacedBytes))
	k.Counter(metrics.Checkpoints, float64(v.engine.Checkpoints))
	k.Gauge(metrics.DiskFree, float64(v.diskFree))
	k.Gauge(metrics.TierLagBytes, float64(v.tier.bytes))
	k.Gauge(metrics.TierLagSegments, float64(v.tier.segments))
	for _, o := range v.outboxes {
		k.Gauge(metrics.OutboxRecords, float64(o.records), o.topic)
		k.Gauge(metrics.OutboxBytes, float64(o.bytes), o.topic)
	}
}

// ask runs on the owner.
func (s *scraper) ask(n *node.Node, partitions []*node.Replica) (v ownerValues) {
	v.engine = n.Stats()
	if free, err := s.b.c.FS.Free(); err == nil {
		v.diskFree = free
	}
	for _, r := range partitions {
		if count, bytes := r.Partition.OutboxDepth(); count > 0 {
			v.outboxes = append(v.outboxes, outboxDepth{topic: r.Topic, records: int64(count), bytes: bytes})
		}
	}
	for _, t := range n.TierStates() {
		v.tier.segments += int64(t.PendingCount)
		v.tier.bytes += t.PendingBytes
	}
	return v
}
