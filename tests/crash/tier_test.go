package crash

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/varvelog/varve/tests/broker"
)

// earliestLocal is ListOffsets' question for the first offset that is still on
// the broker's disk.
const earliestLocal = -4

// TestCrashTier kills the broker under load while closed segments go to the cold
// tier and leave the disk, and then reads everything back, cold and hot.
func TestCrashTier(t *testing.T) {
	const topic, partitions = "crash-tier", 3
	rounds := crashRounds(t)
	port := broker.FreePort(t)
	p := start(t, port, "remote.log.manager.task.interval.ms=100", "log.retention.check.interval.ms=300", "tier.cache.bytes=16MiB")
	create(t, port, topic, partitions, "remote.storage.enable=true", "segment.bytes=1048576", "local.retention.bytes=1",
		"compression.type=uncompressed") // or a slow machine fills no segment
	l := startLoad(t, port, topic, partitions, func(id, n int) string { return fmt.Sprintf("%d/%d/%0400d", id, n, n) })
	rng := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	for range rounds {
		time.Sleep(time.Duration(300+rng.IntN(900)) * time.Millisecond)
		p.Kill(t)
		p = p.Again(t)
	}
	acks := l.finish(t)
	ends := logEnds(t, port, topic, partitions)
	cold := int64(0)
	for end := time.Now().Add(30 * time.Second); cold == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, o := range askOffsets(t, port, topic, partitions, earliestLocal) {
			cold += o
		}
	}
	records := readAll(t, port, topic, partitions, ends)
	judge(t, acks, records)
	if cold == 0 {
		t.Error("nothing left the disk, so nothing was tried")
	}
	p.Stop(t)
	t.Logf("%d kills, %d records acknowledged, %d offsets in the cold tier only", rounds, len(acks), cold)
}
