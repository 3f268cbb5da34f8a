package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member joins a group and holds its partitions until leave is called.
func (s kafkaShell) member(group, topic string) (leave func()) {
	s.t.Helper()
	joined := make(chan struct{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.brokers), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID("holder"),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(joined) }))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(cl.Close)
	select {
	case <-joined:
	case <-time.After(time.Minute):
		s.t.Fatal("the member gets no partitions")
	}
	return cl.Close
}

func (s kafkaShell) group(name string) describedGroup {
	s.t.Helper()
	var list []describedGroup
	s.decode(&list, "group describe "+name)
	if len(list) != 1 {
		s.t.Fatalf("described %+v", list)
	}
	return list[0]
}

// stands checks the offsets of a group, "-" for none, and its lag.
func (s kafkaShell) stands(name, want string) {
	s.t.Helper()
	g := s.group(name)
	var out []string
	for _, p := range g.Partitions {
		out = append(out, fmt.Sprintf("%s/%d=%s", p.Topic, p.Partition, strings.TrimSuffix(number(p.Offset)+":"+number(p.Lag), ":")))
	}
	if got := fmt.Sprintf("%s lag %d", strings.Join(out, " "), g.TotalLag); got != want {
		s.t.Errorf("group %s stands at %s, want %s", name, got, want)
	}
}

func TestGroupConsume(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.prints("GROUP  STATE  PROTOCOL  COORDINATOR\n", "", "group list")
	s.must("", "topic create orders --partitions 1")
	s.must("a\nb\nc\nd\ne\n", "produce orders --quiet")
	s.prints("a\nb\n", "", "consume orders --group g --count 2")
	s.stands("g", "orders/0=2:3 lag 3")
	s.prints("c\n", "", "consume orders --group g --until 3")
	s.stands("g", "orders/0=3:2 lag 2")
	s.prints("d\ne\n", "", "consume orders --group g --until end")
	s.stands("g", "orders/0=5:0 lag 0")
	s.prints("", "", "consume orders --group g --until end")
	s.prints("e\n", "", "consume orders --group late --from -1 --until end")
	s.prints("GROUP  STATE  PROTOCOL  COORDINATOR\ng      Empty  consumer  1\nlate   Empty  consumer  1\n", "", "group list")
	if got := s.must("", "group list --state Stable").out; strings.Contains(got, "late") {
		t.Errorf("stable groups: %s", got)
	}
	want := "group        g\nstate        Empty\nassignor     -\ncoordinator  1\nmembers      0\ntotal lag    0\n\n" +
		"TOPIC   PARTITION  OFFSET  LOG-END  LAG  MEMBER\norders  0          5       5        0    -\n"
	s.prints(want, "", "group describe g")
	s.fails("group nosuch: does not exist", "", "group describe nosuch")
}

// TestGroupConsumeHoles: a group gets to lag 0 over what a chain dropped.
func TestGroupConsumeHoles(t *testing.T) {
	kafka, http := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create sparse --partitions 2")
	shell{t, http}.awaitPlugin("builtin/filter")
	shell{t, http}.must(nil, "plugin", "attach", "builtin/filter", "--topic", "sparse", "--parameters", `{"keep": {"json": "$.keep", "equals": true}}`)
	s.must("{\"keep\": true}\n{\"keep\": false}\n", "produce sparse --partition 0 --quiet")
	s.must("{\"keep\": false}\n", "produce sparse --partition 1 --quiet")
	s.prints("0:0\n", "", `consume sparse --group g --until end --format %p:%o\n`)
	s.stands("g", "sparse/0=2:0 sparse/1=1:0 lag 0")
}

func TestGroupReset(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create orders bills --partitions 2")
	s.must("1000_0_a\n2000_0_b\n3000_0_c\n1000_1_x\n", "produce orders --format %T_%p_%v --quiet")
	s.must("", "consume orders --group g --until end --quiet")
	s.stands("g", "orders/0=3:0 orders/1=1:0 lag 0")

	plan := "TOPIC   PARTITION  BEFORE  AFTER\norders  0          3       0\norders  1          1       0\n"
	s.prints(plan, "", "group reset g --to start --dry-run")
	s.stands("g", "orders/0=3:0 orders/1=1:0 lag 0")
	args := []string{"group", "reset", "g", "--to", "start", "--brokers", kafka}
	if got := run("y\n", args...); exitCode(got.err) != exitUsage {
		t.Errorf("without a terminal: %+v", got)
	}
	if got := runTyping("n\n", args...); got.err != errDeclined || got.out != plan || !strings.Contains(got.notes, "Move the offsets of group g?") {
		t.Errorf("declined: %+v", got)
	}
	s.stands("g", "orders/0=3:0 orders/1=1:0 lag 0")
	if got := runTyping("y\n", args...); got.err != nil {
		t.Errorf("confirmed: %+v", got)
	}
	s.stands("g", "orders/0=0:3 orders/1=0:1 lag 4")

	for _, c := range []struct{ args, want string }{
		{"--to 2", "orders/0=2:1 orders/1=1:0 lag 1"},
		{"--shift -1", "orders/0=1:2 orders/1=0:1 lag 3"},
		{"--shift 10 --topic orders:1", "orders/0=1:2 orders/1=1:0 lag 2"},
		{"--to @1500", "orders/0=1:2 orders/1=1:0 lag 2"},
		{"--to -1", "orders/0=2:1 orders/1=0:1 lag 2"},
		{"--to end --topic orders:0", "orders/0=3:0 orders/1=0:1 lag 1"},
		{"--to end --topic orders --topic bills:1", "bills/1=0:0 orders/0=3:0 orders/1=1:0 lag 0"},
	} {
		s.must("", "group reset g --yes "+c.args)
		s.stands("g", c.want)
	}
	s.must("", "group reset fresh --to 1 --topic orders:0 --yes")
	s.stands("fresh", "orders/0=1:2 lag 2")
	s.fails("does not exist", "", "group reset other --to start --yes")
	s.fails("does not exist", "", "group reset g --to start --topic nosuch --yes")
	s.fails("has no partition 9", "", "group reset g --to start --topic orders:9 --yes")
	s.fails("no offset in bills, partition 0 that could be shifted", "", "group reset g --shift 1 --topic bills --yes")
}

// TestGroupActive: what has members is neither moved nor deleted.
func TestGroupActive(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create orders --partitions 2")
	leave := s.member("g", "orders")
	g := s.group("g")
	if g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientID != "holder" || g.Members[0].Partitions != 2 || g.Protocol == "" {
		t.Errorf("described %+v", g)
	}
	text := s.must("", "group describe g").out
	if !strings.Contains(text, "MEMBER") || !strings.Contains(text, "holder") {
		t.Errorf("described\n%s", text)
	}
	s.fails("group g is Stable with 1 member; stop its consumers first", "", "group reset g --to start --topic orders --yes")
	s.fails("group g: has members (NON_EMPTY_GROUP); stop its consumers first", "", "group delete g --yes")
	leave()
	s.must("", "group reset g --to start --topic orders --yes")
	s.stands("g", "orders/0=0:0 orders/1=0:0 lag 0")
	if got := runTyping("y\n", "group", "delete", "g", "--brokers", kafka); got.err != nil || got.out != "GROUP  STATUS\ng      deleted\n" {
		t.Errorf("deleted: %+v", got)
	}
	s.fails("group g: does not exist", "", "group delete g --yes")
}
