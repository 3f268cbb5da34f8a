//go:build clients

package clients

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/clients/scenario"
)

// TestPositions has every client commit, ask for what it committed, and go back.
func TestPositions(t *testing.T) {
	b := start(t)
	look := newLookout(t, b.Addr())
	for _, c := range clients {
		if c.groupless {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait for others to join their groups
			topic := "positions-" + c.name
			createTopic(t.Context(), t, look.cl, topic, nil)
			sent := scenario.Run{Topic: topic, Codec: "none", Idempotent: true}
			for i := range 10 {
				sent.Records = append(sent.Records, scenario.Record{Value: fmt.Append(nil, i)})
			}
			run[scenario.Produced](t, franz(), b.Addr(), "produce", scenario.Produce{Runs: []scenario.Run{sent}})
			got := fields(t, run[scenario.Positioned](t, c, b.Addr(), "positions", scenario.Positions{Topic: topic, Group: topic}))
			want := fields(t, map[string]any{"read": 10, "committed": 4, "metadata": "note", "sought": 2, "after": 10})
			for name, w := range want {
				if got[name] != w {
					t.Errorf("%s: got %s, want %s", name, got[name], w)
				}
			}
		})
	}
}

// administer has a client look at, change and delete a group without members.
func administer(t *testing.T, c client, addr string, p *party) {
	if p.err != nil {
		t.Fatal(p.err)
	}
	got := fields(t, run[scenario.Grouped](t, c, addr, "groups", scenario.Groups{Topic: p.topic, Group: p.group}))
	want := fields(t, map[string]any{
		"listed": true, "state": "empty", "members": 0, "offsets": p.ends, "reset": 3, "cleared": -1, "left": false, "gone": 69,
	})
	for name, w := range want {
		if slices.Contains(c.without, name) {
			w = "null"
		}
		if got[name] != w {
			t.Errorf("%s: got %s, want %s", name, got[name], w)
		}
	}
}

const groupCommand = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

// groupTools does with kafka-consumer-groups.sh and the console consumer what an
// administrator does.
func groupTools(t *testing.T, b *broker.Process, p *party) {
	if p.err != nil {
		t.Fatal(p.err)
	}
	at := func(args ...string) []string { return append([]string{"--bootstrap-server", b.Addr()}, args...) }
	of := func(args ...string) []string { return append(at("--group", p.group), args...) }
	contains(t, tool(t, groupCommand, at("--list")...), p.group)
	contains(t, tool(t, groupCommand, at("--describe", "--group", p.group, "--state")...), "Empty")
	sameLags(t, b.Addr(), p, map[int]string{0: "0", 1: "0", 2: "0", 3: "0"})
	reset := tool(t, groupCommand, of("--reset-offsets", "--topic", p.topic+":0,1", "--shift-by", "-10", "--execute")...)
	contains(t, reset, fmt.Sprint(p.ends[0]-10))
	tool(t, groupCommand, of("--delete-offsets", "--topic", p.topic+":2")...)
	sameLags(t, b.Addr(), p, map[int]string{0: "10", 1: "10", 3: "0"})
	// What is not committed is not read: 10 records of each of two partitions,
	// and, without an offset, all of the third.
	count := int(20 + p.ends[2])
	read := tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", at("--topic", p.topic, "--group", p.group,
		"--command-property", "auto.offset.reset=earliest", "--max-messages", fmt.Sprint(count), "--timeout-ms", "60000")...)
	lines := strings.Split(strings.TrimSpace(read), "\n")
	for partition, from := range map[int]int64{0: p.ends[0] - 10, 1: p.ends[1] - 10, 2: 0} {
		for offset := from; offset < p.ends[partition]; offset++ {
			if !slices.Contains(lines, string(p.value(partition, offset))) {
				t.Errorf("the console consumer did not read %d-%d", partition, offset)
			}
		}
	}
	if len(lines) != count {
		t.Errorf("the console consumer read %d records, want %d", len(lines), count)
	}
	sameLags(t, b.Addr(), p, map[int]string{0: "0", 1: "0", 2: "0", 3: "0"})
	contains(t, tool(t, groupCommand, of("--delete")...), "was successful")
	if out := tool(t, groupCommand, at("--list")...); slices.Contains(strings.Fields(out), p.group) {
		t.Errorf("the group is deleted and listed: %s", out)
	}
}

// sameLags compares the lags that kafka-consumer-groups.sh tells, by partition.
func sameLags(t *testing.T, addr string, p *party, want map[int]string) {
	t.Helper()
	lines := described(t, addr, p.group, p.topic)[p.group]
	got := map[int]string{}
	for partition, l := range lines {
		got[partition] = l.lag
	}
	if !maps.Equal(got, want) {
		t.Errorf("lags are %v, want %v: %v", got, want, lines)
	}
}

// describedLine is a line of kafka-consumer-groups.sh --describe. What is not
// known is "-".
type describedLine struct{ committed, end, lag string }

// described runs kafka-consumer-groups.sh --describe and returns its lines on a
// topic by group and partition; without a group, those of all groups.
func described(t *testing.T, addr, group, topic string) map[string]map[int]describedLine {
	t.Helper()
	of := []string{"--group", group}
	if group == "" {
		of = []string{"--all-groups"}
	}
	out := tool(t, groupCommand, slices.Concat([]string{"--bootstrap-server", addr, "--describe"}, of)...)
	all := map[string]map[int]describedLine{}
	for _, text := range strings.Split(out, "\n") {
		f := strings.Fields(text)
		if len(f) < 6 || f[1] != topic {
			continue
		}
		var partition int
		if _, err := fmt.Sscan(f[2], &partition); err != nil {
			t.Fatalf("no partition in %q", text)
		}
		if all[f[0]] == nil {
			all[f[0]] = map[int]describedLine{}
		}
		all[f[0]][partition] = describedLine{committed: f[3], end: f[4], lag: f[5]}
	}
	if len(all) == 0 {
		t.Fatalf("nothing on topic %s in\n%s", topic, out)
	}
	return all
}
