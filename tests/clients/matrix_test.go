//go:build clients

package clients

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// written is what a topic has, record by record, for readers to find.
type written struct {
	topic string
	by    client
	// records of every partition in the order of their offsets, from 0
	records [partitions][]scenario.Got
	from    int64 // when it was written, in milliseconds
	to      int64
}

// TestMatrix has every client write a topic with every codec and every shape of
// record, and then every client read all of these topics.
func TestMatrix(t *testing.T) {
	b := start(t, fmt.Sprintf("num.partitions=%d", partitions))
	var topics []*written
	for _, c := range clients {
		t.Run("write/"+c.name, func(t *testing.T) { topics = append(topics, write(t, c, b.Addr())) })
	}
	for _, c := range clients {
		t.Run("read/"+c.name, func(t *testing.T) {
			var q scenario.Consume
			for _, w := range topics {
				for p := range partitions {
					q.Reads = append(q.Reads, scenario.Read{Topic: w.topic, Partition: int32(p)})
				}
			}
			got := byPartition(run[scenario.Consumed](t, c, b.Addr(), "consume", q).Records)
			for _, w := range topics {
				for p := range partitions {
					compare(t, w, c, p, got[place{w.topic, int32(p)}], 0)
				}
			}
		})
		t.Run("since/"+c.name, func(t *testing.T) { since(t, c, b.Addr(), topics) })
	}
}

// write has a client fill its topic, which is created by the first request, and
// checks what it was told.
func write(t *testing.T, c client, addr string) *written {
	t.Helper()
	w := &written{topic: "from-" + c.name, by: c, from: time.Now().UnixMilli()}
	sent := c.fitted(runs(w.topic))
	told := run[scenario.Produced](t, c, addr, "produce", scenario.Produce{Runs: sent})
	w.to = time.Now().UnixMilli()
	if len(told.Runs) != len(sent) {
		t.Fatalf("%d runs were sent, it was told of %d", len(sent), len(told.Runs))
	}
	for i, s := range sent {
		if len(told.Runs[i]) != len(s.Records) {
			t.Fatalf("run %d, %s: %d records were sent, it was told of %d", i, s.Codec, len(s.Records), len(told.Runs[i]))
		}
		for j, r := range s.Records {
			w.add(t, r, told.Runs[i][j])
		}
	}
	return w
}

// add notes one record. The topic is new and the only producer sends in order,
// so the offsets are known.
func (w *written) add(t *testing.T, r scenario.Record, a scenario.Ack) {
	t.Helper()
	list := &w.records[r.Partition]
	if a.Partition != r.Partition || a.Offset != int64(len(*list)) {
		t.Errorf("record %d of partition %d was acknowledged as %d-%d", len(*list), r.Partition, a.Partition, a.Offset)
	}
	g := scenario.Got{
		Topic: w.topic, Partition: r.Partition, Offset: int64(len(*list)), Timestamp: r.Timestamp,
		Key: scenario.Blob(r.Key), Value: scenario.Blob(r.Value),
	}
	for _, h := range r.Headers {
		g.Headers = append(g.Headers, scenario.GotHeader{Name: h.Name, Value: scenario.Blob(h.Value)})
	}
	switch {
	case a.Timestamp == nil && !w.by.untimed:
		t.Errorf("%d-%d: no timestamp was told", r.Partition, a.Offset)
	case a.Timestamp != nil && r.Timestamp != 0 && *a.Timestamp != r.Timestamp:
		t.Errorf("%d-%d: sent with timestamp %d, told %d", r.Partition, a.Offset, r.Timestamp, *a.Timestamp)
	case a.Timestamp != nil:
		g.Timestamp = *a.Timestamp
	}
	*list = append(*list, g)
}

type place struct {
	topic     string
	partition int32
}

func byPartition(records []scenario.Got) map[place][]scenario.Got {
	out := map[place][]scenario.Got{}
	for _, r := range records {
		at := place{r.Topic, r.Partition}
		out[at] = append(out[at], r)
	}
	return out
}

// compare compares what a client has read of a partition, from an offset, with
// what was written there.
func compare(t *testing.T, w *written, reader client, partition int, got []scenario.Got, from int) {
	t.Helper()
	want := w.records[partition][from:]
	if len(got) != len(want) {
		t.Errorf("%s-%d: %d records were written, %d were read", w.topic, partition, len(want), len(got))
		return
	}
	for i := range want {
		x, y := want[i], got[i]
		if x.Timestamp == 0 {
			// The writer did not say.
			if y.Timestamp < w.from || y.Timestamp > w.to {
				t.Errorf("%s-%d, record %d: written from %d to %d, read with timestamp %d", w.topic, partition, i, w.from, w.to, y.Timestamp)
			}
			x.Timestamp = y.Timestamp
		}
		if reader.groups {
			x.Headers, y.Headers = groupGot(x.Headers), groupGot(y.Headers)
		}
		if a, b := text(t, x), text(t, y); a != b {
			t.Errorf("%s-%d, record %d\nwritten %s\nread    %s", w.topic, partition, i, a, b)
		}
	}
}

// text returns a record in a form to compare and to look at.
func text(t *testing.T, g scenario.Got) string {
	t.Helper()
	if len(g.Headers) == 0 {
		g.Headers = nil
	}
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func groupGot(headers []scenario.GotHeader) []scenario.GotHeader {
	var out []scenario.GotHeader
	done := map[string]bool{}
	for _, h := range headers {
		if done[h.Name] {
			continue
		}
		done[h.Name] = true
		for _, same := range headers {
			if same.Name == h.Name {
				out = append(out, same)
			}
		}
	}
	return out
}

// since reads the records with timestamps of their own from a time in between.
func since(t *testing.T, c client, addr string, topics []*written) {
	t.Helper()
	const skipped = 6
	var q scenario.Consume
	var of []*written
	for _, w := range topics {
		if w.records[1][0].Timestamp != firstTime {
			continue // its client cannot set timestamps
		}
		of = append(of, w)
		for i := range codecs {
			q.Reads = append(q.Reads, scenario.Read{
				Topic: w.topic, Partition: int32(2*i + 1), Timestamp: firstTime + 1000*skipped - 500,
			})
		}
	}
	got := byPartition(run[scenario.Consumed](t, c, addr, "consume", q).Records)
	for _, w := range of {
		for i := range codecs {
			p := 2*i + 1
			compare(t, w, c, p, got[place{w.topic, int32(p)}], skipped)
		}
	}
}
