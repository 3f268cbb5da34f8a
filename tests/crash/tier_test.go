package crash

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// earliestLocal is ListOffsets' question for the first offset that is still on
// the broker's disk.
const earliestLocal = -4

const tierPartitions = 3

// tierRecords fill more than a segment of each of those partitions.
const tierRecords = tierPartitions * 3 << 20 / 2 / 2000

// tierSettings make segments leave soon.
var tierSettings = []string{
	"remote.log.manager.task.interval.ms=100", "log.retention.check.interval.ms=300", "tier.cache.bytes=16MiB", "tier.delete.delay.ms=200",
}

// TestCrashTier kills the broker under load while closed segments go to the cold
// tier and leave the disk, and are read from there, and then reads everything
// back, cold and hot.
func TestCrashTier(t *testing.T) {
	s := besiege(t, "tier", slices.Concat(tierPoints, coldPoints), tierSettings...)
	s.chapters(func(chapter int) {
		topic := fmt.Sprintf("crash-tier-%d", chapter)
		makeTiered(t, s.port(), topic, tierPartitions)
		l := startLoad(t, s.port(), topic, tierPartitions, numbered)
		cold := readCold(t, s.port(), topic, tierPartitions)
		s.storm(nil)
		l.atLeast(t, tierRecords)
		acks := l.finish(t)
		cold()
		s.judged(acks, judgeTier(t, s, acks, topic))
		drop(t, s.port(), topic)
	})
}

func makeTiered(t *testing.T, port int, topic string, partitions int32) {
	t.Helper()
	create(t, port, topic, partitions, "remote.storage.enable=true", "segment.bytes=1048576", "local.retention.bytes=1")
}

func judgeTier(t *testing.T, s *siege, acks []acked, topic string) (violations int) {
	t.Helper()
	ends := logEnds(t, s.port(), topic, tierPartitions)
	cold := int64(0)
	for end := time.Now().Add(30 * time.Second); cold == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, o := range askOffsets(t, s.port(), topic, tierPartitions, earliestLocal) {
			cold += o
		}
	}
	if cold == 0 {
		t.Error("nothing left the disk, so nothing was tried")
	}
	return judge(t, acks, readAll(t, s.port(), topic, tierPartitions, ends))
}

// readCold reads a topic from its beginning, again and again, until the function
// that it returns is called.
func readCold(t *testing.T, port int, topic string, partitions int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			cl := client(t, port, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxPartitionBytes(64<<10))
			for range 40 {
				try, done := context.WithTimeout(ctx, time.Second)
				cl.PollFetches(try) // what it gets is judged in the end
				done()
			}
			cl.Close()
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
