//go:build clients

package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// What a client commits at the end of a log that ends with a hole. The broker
// stands for such a hole with a control batch, as transaction markers are, so
// what clients do there is what they do behind a marker that ends a log of
// Apache Kafka.
type committing int

const (
	// whereItIs: it commits where it is, and its lag becomes 0.
	whereItIs committing = iota
	// byRecord: it commits the offset behind the last record that it handed
	// out, and nothing without a record. Its lag is the last hole.
	byRecord
	// later: it goes on behind the hole, and commits that with the next record
	// of any partition. Until then its lag may be the last hole.
	later
)

// A holesReader is a client in a group.
type holesReader struct {
	client  client
	exact   bool // with the option for it
	commits committing
}

// holesReaders is what is known of every client.
func holesReaders() []holesReader {
	var out []holesReader
	for _, c := range clients {
		switch c.name {
		case "franz":
			out = append(out, holesReader{client: c, commits: byRecord}, holesReader{client: c, exact: true})
		case "sarama": // its users mark messages, and control records are none
			out = append(out, holesReader{client: c, commits: byRecord})
		case "kafkajs":
			out = append(out, holesReader{client: c, commits: later}, holesReader{client: c, exact: true})
		default:
			out = append(out, holesReader{client: c})
		}
	}
	return out
}

func (r holesReader) name() string {
	if r.exact {
		return r.client.name + "-exact"
	}
	return r.client.name
}

// may returns what the client may commit of a partition, -1 for nothing.
func (r holesReader) may(f filled) []int64 {
	behind := int64(-1)
	if n := len(f.records); n > 0 {
		behind = f.records[n-1].Offset + 1
	}
	switch r.commits {
	case byRecord:
		return []int64{behind}
	case later:
		return []int64{behind, f.end}
	default:
		return []int64{f.end}
	}
}

// holesInGroups has every client read all partitions as the only member of a
// group and commit, and asks for its lag.
func holesInGroups(t *testing.T, addr string, way *relay, want []filled) {
	look := newLookout(t, addr)
	commits := map[string][]int64{}
	for _, r := range holesReaders() {
		t.Run(r.name(), func(t *testing.T) {
			read := memberOfHoles(t, r, addr, way, want)
			committed, err := look.committed(t.Context(), "holes-"+r.name(), holesTopic, len(want))
			if err != nil {
				t.Fatal(err)
			}
			commits["holes-"+r.name()] = committed
			for p, s := range shapes() {
				t.Run(s.name, func(t *testing.T) {
					sameRecords(t, want[p].records, read[place{holesTopic, int32(p)}])
					if may := r.may(want[p]); !slices.Contains(may, committed[p]) {
						t.Errorf("committed %d, want %v; the log ends at %d", committed[p], may, want[p].end)
					}
				})
			}
		})
	}
	t.Run("lags", func(t *testing.T) { holesLags(t, addr, commits, want) })
}

// memberOfHoles runs a member until it asks for what comes behind the ends, and
// returns what it has read.
func memberOfHoles(t *testing.T, r holesReader, addr string, way *relay, want []filled) map[place][]scenario.Got {
	t.Helper()
	q := scenario.Member{
		Topic: holesTopic, Group: "holes-" + r.name(), Strategy: "range", Exact: r.exact,
		Until: filepath.Join(t.TempDir(), "until"),
	}
	if r.client.name == "kafkajs" {
		q.Strategy = "roundrobin"
	}
	ends := map[int32]int64{}
	for p, w := range want {
		ends[int32(p)] = w.end
	}
	way.watch(ends, func() {
		if err := os.WriteFile(q.Until, nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	got, err := try[scenario.Membership](r.client, t.TempDir(), addr, "member", q)
	asked := way.watched()
	if err != nil {
		t.Fatalf("%v\nit asked for up to %v, the ends are %v", err, asked, ends)
	}
	var records []scenario.Got
	for _, e := range got.Events {
		switch {
		case e.Record != nil:
			records = append(records, *e.Record)
		case e.Failed != "":
			t.Errorf("a commit failed: %s", e.Failed)
		}
	}
	return byPartition(records)
}

// holesLags asks Kafka's own tool for the lags of all groups.
func holesLags(t *testing.T, addr string, commits map[string][]int64, want []filled) {
	lags := described(t, addr, "", holesTopic)
	for group, committed := range commits {
		for p, s := range shapes() {
			lag := ""
			if committed[p] >= 0 {
				lag = fmt.Sprint(want[p].end - committed[p])
			}
			if got := lags[group][p].lag; got != lag {
				t.Errorf("%s, %s: lag %q, want %q", group, s.name, got, lag)
			}
		}
	}
}
