package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
)

// TestFetchTakesItsShare: answers to Fetch were bounded one by one, so that many
// consumers that read nothing filled the memory. Now each has a share of what is
// free, and one batch in any case.
func TestFetchTakesItsShare(t *testing.T) {
	const batches = 8
	for _, c := range []struct {
		name    string
		set     []string
		atLeast int
		atMost  int
	}{
		{"plenty", nil, batches, batches},
		{"little", []string{"memory.response.bytes=16MiB"}, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newDataRig(t, c.set...)
			r.createTopic("events", 1)
			cl := r.dial()
			batch := rigBatch(t, rigParams(), string(make([]byte, 500<<10)))
			for range batches {
				call[*kmsg.ProduceResponse](cl, 9, rigProduce("events", ident.TopicID{}, 0, batch))
			}
			got := 0
			for read := 0; read < batches; {
				q := rigFetch("events", ident.TopicID{}, 0, int64(read))
				q.MaxBytes, q.Topics[0].Partitions[0].PartitionMaxBytes = 1<<30, 1<<30
				n := len(fetchedOf(call[*kmsg.FetchResponse](cl, 12, q)).RecordBatches) / len(batch)
				if n == 0 {
					t.Fatal("a fetch makes no progress")
				}
				read, got = read+n, max(got, n)
			}
			if got < c.atLeast || got > c.atMost {
				t.Errorf("%d batches in an answer, want %d to %d", got, c.atLeast, c.atMost)
			}
			if s := r.server.Stats(); s.AnswersWaiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
