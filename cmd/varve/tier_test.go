package main

import (
	"slices"
	"strings"
	"testing"
)

const tierJSON = `{"store":"file:///var/tier","partitions":[` +
	`{"topic":"orders","partition":0,"log_start_offset":1,"local_log_start_offset":20,"tiered_end_offset":30,"high_watermark":40,` +
	`"segments":3,"bytes":4096,"pending_segments":1,"pending_bytes":512,"deleting_segments":2,"error":""}]}`

func TestTier(t *testing.T) {
	const head = "TOPIC   PARTITION  LOG-START  LOCAL-START  TIERED-END  LOG-END  SEGMENTS  BYTES  PENDING  PENDING-BYTES  DELETING"
	for _, c := range []struct {
		name, args      string
		answers         map[string]string
		asked           []string
		out, notes, err string
	}{
		{name: "status", args: "tier status", answers: map[string]string{"GET /v1/tier": "200 " + tierJSON}, asked: []string{"GET /v1/tier"},
			out: head + "\norders  0          1          20           30          40       3         4096   1        512            2\n", notes: "store file:///var/tier\n"},
		{name: "with an error", args: "tier status orders",
			answers: map[string]string{"GET /v1/tier?topic=orders": "200 " + strings.Replace(tierJSON, `"error":""`, `"error":"no\nroom"`, 1)}, asked: []string{"GET /v1/tier?topic=orders"},
			out:   head + "  ERROR\norders  0          1          20           30          40       3         4096   1        512            2         no; room\n",
			notes: "store file:///var/tier\n"},
		{name: "no topic", args: "tier status a&b", answers: map[string]string{"GET /v1/tier?topic=a%26b": `404 {"error": "not found: topic a&b"}`},
			asked: []string{"GET /v1/tier?topic=a%26b"}, err: "not found: topic a&b; `varve topic list`"},
		{name: "empty", args: "tier status -o json", answers: map[string]string{"GET /v1/tier": `200 {"store":"mem://"}`}, asked: []string{"GET /v1/tier"},
			out: "{\n  \"store\": \"mem://\",\n  \"partitions\": []\n}\n"},
		{name: "orphans", args: "tier status --orphans",
			answers: map[string]string{"GET /v1/tier/orphans": `200 {"orphans":[{"key":"a/b","bytes":10,"modified":"2026-01-31T12:00:00Z"},{"key":"c","bytes":2000,"modified":"2026-01-31T13:00:00+01:00"}]}`},
			asked:   []string{"GET /v1/tier/orphans"}, notes: "2 orphans, 2.0 KiB\n",
			out: "KEY  BYTES  MODIFIED\na/b  10     2026-01-31T12:00:00Z\nc    2000   2026-01-31T12:00:00Z\n"},
		{name: "store down", args: "tier status --orphans", answers: map[string]string{"GET /v1/tier/orphans": `503 {"error": "not available now: the store"}`},
			asked: []string{"GET /v1/tier/orphans"}, err: "not available now: the store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.answers)
			compare(t, run("", append(strings.Fields(c.args), "--http", s.URL)...), c.out, c.notes, c.err)
			if asked := s.took(); !slices.Equal(asked, c.asked) {
				t.Errorf("asked %q, want %q", asked, c.asked)
			}
		})
	}
}
