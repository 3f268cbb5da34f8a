//go:build clients

package clients

import (
	"fmt"
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
		t.Skip("its group did not come to its end")
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
	for _, line := range described(t, b.Addr(), p.group, p.topic) {
		if line.lag != "0" {
			t.Errorf("partition %d: offset %s of %s, lag %s", line.partition, line.committed, line.end, line.lag)
		}
	}
	reset := tool(t, groupCommand, of("--reset-offsets", "--topic", p.topic+":0,1", "--shift-by", "-10", "--execute")...)
	contains(t, reset, fmt.Sprint(p.ends[0]-10))
	tool(t, groupCommand, of("--delete-offsets", "--topic", p.topic+":2")...)
	lags := map[int]string{}
	for _, line := range described(t, b.Addr(), p.group, p.topic) {
		lags[line.partition] = line.lag
	}
	if want := map[int]string{0: "10", 1: "10", 3: "0"}; fmt.Sprint(lags) != fmt.Sprint(want) {
		t.Errorf("lags are %v, want %v", lags, want)
	}
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
	for _, line := range described(t, b.Addr(), p.group, p.topic) {
		if line.lag != "0" {
			t.Errorf("after the console consumer, partition %d: lag %s", line.partition, line.lag)
		}
	}
	contains(t, tool(t, groupCommand, of("--delete")...), "was successful")
	if out := tool(t, groupCommand, at("--list")...); slices.Contains(strings.Fields(out), p.group) {
		t.Errorf("the group is deleted and listed: %s", out)
	}
}

// describedLine is a line of kafka-consumer-groups.sh --describe. What is not
// known is "-".
type describedLine struct {
	partition           int
	committed, end, lag string
}

// described runs kafka-consumer-groups.sh --describe and returns its lines on a
// topic, in their order.
func described(t *testing.T, addr, group, topic string) []describedLine {
	t.Helper()
	out := tool(t, groupCommand, "--bootstrap-server", addr, "--describe", "--group", group)
	var lines []describedLine
	for _, text := range strings.Split(out, "\n") {
		f := strings.Fields(text)
		if len(f) < 6 || f[0] != group || f[1] != topic {
			continue
		}
		l := describedLine{committed: f[3], end: f[4], lag: f[5]}
		if _, err := fmt.Sscan(f[2], &l.partition); err != nil {
			t.Fatalf("no partition in %q", text)
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		t.Fatalf("nothing on topic %s in\n%s", topic, out)
	}
	return lines
}
