//go:build clients

package clients

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/clients/scenario"
)

const (
	holesTopic   = "holes"
	holesBatches = 100
	holesBatch   = 10 // records
)

// A shape is what a chain drops of a partition.
type shape struct {
	name  string
	drops func(batch, record int) bool
	// inside is an offset in its last hole
	inside int64
	kept   bool // one kept record ends the partition, in a batch of its own
}

// shapes of the partitions of the topic, each without and with a kept end.
func shapes() []shape {
	var out []shape
	for _, s := range []shape{
		{name: "all", drops: func(int, int) bool { return true }, inside: 3},
		{name: "tails", drops: func(_, i int) bool { return i >= 7 }, inside: 998},
		{name: "heads", drops: func(_, i int) bool { return i < 3 }, inside: 991},
		{name: "every other batch", drops: func(b, _ int) bool { return b%2 == 1 }, inside: 995},
		{name: "all but the first batch", drops: func(b, _ int) bool { return b > 0 }, inside: 500},
	} {
		out = append(out, s, shape{name: s.name + ", kept end", drops: s.drops, inside: s.inside, kept: true})
	}
	return out
}

// TestHoles has every client read partitions of which a chain dropped records.
// It gets every kept record at the offset its producer was told and no other,
// and comes to the end of the log although nothing may be there.
func TestHoles(t *testing.T) {
	way := newRelay(t)
	httpPort := broker.FreePort(t)
	b := start(t, fmt.Sprintf("http.listen=127.0.0.1:%d", httpPort), fmt.Sprintf("num.partitions=%d", len(shapes())),
		"group.initial.rebalance.delay.ms=0", "advertised.listeners=PLAINTEXT://"+way.addr())
	way.to(b.Addr())
	drop(t, fmt.Sprintf("http://127.0.0.1:%d/v1/", httpPort), b.Addr())
	want := sendHoles(t, b.Addr())
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) { readHoles(t, c, b.Addr(), way, want, false) })
		t.Run("inside/"+c.name, func(t *testing.T) { readHoles(t, c, b.Addr(), way, want, true) })
	}
	t.Run("groups", func(t *testing.T) { holesInGroups(t, b.Addr(), way, want) })
}

// drop makes the topic and gives it a chain that drops the records whose keys
// begin with "drop".
func drop(t *testing.T, base, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	createTopicWide(ctx, t, cl, holesTopic, int32(len(shapes())), nil)
	// The plugins that come with the broker are compiled after its start.
	for !bytes.Contains(call(ctx, t, "GET", base+"plugins", ""), []byte("builtin/filter")) {
		time.Sleep(20 * time.Millisecond)
	}
	call(ctx, t, "PUT", base+"stages/drop",
		`{"plugin": "builtin/filter", "hook": "transform", "parameters": {"drop": {"key_prefix": "drop"}}}`)
	call(ctx, t, "PUT", base+"topics/"+holesTopic+"/chain", `{"stages": ["drop"]}`)
}

// call sends a request to the broker's HTTP interface.
func call(ctx context.Context, t *testing.T, method, url, body string) []byte {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, url, r.Status, text, err)
	}
	return text
}

// filled is what a partition has for its readers.
type filled struct {
	records []scenario.Got // without timestamps
	end     int64
}

// since returns the records from an offset on.
func (f *filled) since(offset int64) []scenario.Got {
	for i := range f.records {
		if f.records[i].Offset >= offset {
			return f.records[i:]
		}
	}
	return nil
}

// sendHoles fills the partitions, batch by batch, and checks what was told of
// every record, dropped or not.
func sendHoles(t *testing.T, addr string) []filled {
	t.Helper()
	// A flush sends what waits, which is one batch of each partition.
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all := shapes()
	out := make([]filled, len(all))
	for b := range holesBatches + 1 {
		var sent []*kgo.Record
		for p, s := range all {
			for i := range holesBatch {
				key := "keep"
				switch {
				case b < holesBatches && s.drops(b, i):
					key = "drop"
				case b == holesBatches && (!s.kept || i > 0):
					continue
				}
				r := &kgo.Record{Topic: holesTopic, Partition: int32(p), Key: []byte(key), Value: fmt.Appendf(nil, "%d-%d", b, i)}
				sent = append(sent, r)
				cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("%s, batch %d, record %d: %v", s.name, b, i, err)
					}
				})
			}
		}
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		for _, r := range sent {
			f := &out[r.Partition]
			if r.Offset != f.end {
				t.Fatalf("%s: record %s was told offset %d, want %d", all[r.Partition].name, r.Value, r.Offset, f.end)
			}
			f.end++
			if string(r.Key) == "keep" {
				f.records = append(f.records, scenario.Got{
					Topic: holesTopic, Partition: r.Partition, Offset: r.Offset,
					Key: scenario.Blob(r.Key), Value: scenario.Blob(r.Value),
				})
			}
		}
	}
	return out
}

// readHoles has a client read all partitions to their ends, either all of them
// or, with the other isolation level, from inside a hole. How far those clients
// are that do not say it shows in what they ask the broker for.
func readHoles(t *testing.T, c client, addr string, way *relay, want []filled, inside bool) {
	until := filepath.Join(t.TempDir(), "until")
	q := scenario.Consume{Until: until, Committed: inside}
	from := make([]int64, len(want))
	ends := map[int32]int64{}
	for p, w := range want {
		if inside {
			from[p] = shapes()[p].inside
		}
		q.Reads = append(q.Reads, scenario.Read{Topic: holesTopic, Partition: int32(p), Offset: from[p]})
		ends[int32(p)] = w.end
	}
	way.watch(ends, func() {
		if err := os.WriteFile(until, nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	got, err := try[scenario.Consumed](c, t.TempDir(), addr, "consume", q)
	asked := way.watched()
	if err != nil {
		t.Fatalf("%v\nit asked for up to %v, the ends are %v", err, asked, ends)
	}
	told := map[int32]scenario.End{}
	for _, e := range got.Ends {
		told[e.Partition] = e
	}
	records := byPartition(got.Records)
	for p, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			sameRecords(t, want[p].since(from[p]), records[place{holesTopic, int32(p)}])
			position := asked[int32(p)]
			end, says := told[int32(p)]
			if says {
				position = end.Position
			}
			if says == c.mute {
				t.Errorf("told a position: %v", says)
			}
			if position != want[p].end {
				t.Errorf("it is at offset %d, the log ends at %d", position, want[p].end)
			}
			if end.Lag != nil && *end.Lag != 0 {
				t.Errorf("its lag is %d", *end.Lag)
			}
		})
	}
}

// sameRecords compares records without their timestamps.
func sameRecords(t *testing.T, want, got []scenario.Got) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d records are kept, %d were read", len(want), len(got))
	}
	for i := range min(len(want), len(got)) {
		got[i].Timestamp = 0
		if a, b := text(t, want[i]), text(t, got[i]); a != b {
			t.Fatalf("record %d\nkept %s\nread %s", i, a, b)
		}
	}
}
