package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/config"
)

const (
	// programBytes is what a broker takes beside what its settings bound. The
	// collector does not know of most of it: the program itself, mapped files.
	programBytes = 128 << 20
	// checkBytes is what a compressed batch takes that is looked into.
	checkBytes = 24 << 20
	// rewriteFactor is how many times max.decompressed.message.bytes a batch takes
	// that is compressed otherwise, or passes a chain.
	rewriteFactor = 3
	// rewritesMax is how many are compressed otherwise at a time, at most.
	rewritesMax = 4
	// limitEvery is how often the limit is compared with what lives.
	limitEvery = time.Second
)

// boundedMemory is the sum of what a broker's settings bound (docs/memory.md).
func boundedMemory(s *config.Broker) int64 {
	procs := runtime.GOMAXPROCS(0)
	checks := max(2, procs)
	rewrites := min(checks, rewritesMax) + max(1, procs/2)
	return programBytes + 2*s.MemoryRequestBytes + s.MemoryResponseBytes*5/4 + s.TailCacheBytes + s.TierReadMemoryBytes +
		int64(checks)*checkBytes + int64(rewrites)*rewriteFactor*s.DecompressedMaxBytes
}

// limitMemory makes the collector work harder as memory comes near the sum of the
// bounds, so that garbage, which no budget counts, does not go beyond it. Where
// more than that lives by right, such as the state of very many groups, the limit
// follows, since it would only make the collector spin. GOMEMLIMIT wins.
func limitMemory(s *config.Broker) (stop func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	least := boundedMemory(s) - programBytes
	limit := least
	debug.SetMemoryLimit(limit)
	stopped := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(limitEvery)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				debug.SetMemoryLimit(math.MaxInt64)
				return
			case <-tick.C:
			}
			if next := nextLimit(least, liveBytes()); next > limit || next < limit-limit/10 {
				limit = next
				debug.SetMemoryLimit(limit)
			}
		}
	})
	return func() {
		close(stopped)
		ended.Wait()
	}
}

// nextLimit leaves half of what lives to the collector.
func nextLimit(least, live int64) int64 { return max(least, live+live/2) }

// liveBytes is what the last collection found alive.
func liveBytes() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
