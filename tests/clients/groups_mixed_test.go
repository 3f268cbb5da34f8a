//go:build clients

package clients

import (
	"context"
	"slices"
	"testing"

	"github.com/varvelog/varve/tests/broker"
)

// TestMixedGroup puts the clients that know the strategy "range" of Kafka into
// one group, one of them more than there are partitions. Whichever of them
// divides the partitions, the others understand it. One crashes; the others leave
// in turn.
func TestMixedGroup(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := newParty(t, newLookout(t, b.Addr()), b.Addr(), variant{client: franz(), strategy: "range"}, "mixed")
	createTopicWide(ctx, t, p.look.cl, p.topic, groupPartitions, nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.first(ctx)) // franz-go, as member a
	for _, c := range clients {
		if c.name != "franz" && c.name != "kafkajs" { // kafkajs has a strategy of its own
			p.startAs(c, c.name)
		}
	}
	must(p.divided(ctx, 0, 1, 1, 1, 1))
	must(p.send(ctx))
	must(p.caughtUp(ctx))
	t.Run("tools", func(t *testing.T) { liveTools(t, b, p) })

	// It has the shortest session timeout of its own, 10 s.
	p.crash("sarama")
	must(p.divided(ctx, 1, 1, 1, 1))
	must(p.caughtUp(ctx))
	p.since = slices.Clone(p.ends) // what was read before, nobody tells who crashed
	p.quiet(false)
	p.quiet(true)
	left := []string{"a", "java", "python", "kcat"}
	for i, name := range left {
		must(p.send(ctx))
		must(p.caughtUp(ctx))
		must(p.end(name))
		must(p.divided(ctx, map[int][]int{3: {1, 1, 2}, 2: {2, 2}, 1: {4}}[len(left)-i-1]...))
	}
	p.check(t)
}

// liveTools does with kafka-consumer-groups.sh what concerns a group that has
// members.
func liveTools(t *testing.T, b *broker.Process, p *party) {
	at := []string{"--bootstrap-server", b.Addr()}
	on := func(args ...string) []string { return slices.Concat(at, args) }
	contains(t, tool(t, groupCommand, on("--list", "--state", "stable")...), p.group)
	contains(t, tool(t, groupCommand, on("--describe", "--group", p.group, "--members", "--verbose")...),
		"kgo", "sarama", "rdkafka", "consumer-mixed-1", p.topic+":0", p.topic+":3")
	contains(t, tool(t, groupCommand, on("--describe", "--group", p.group, "--state")...), "range", "Stable", "5")
	sameLags(t, b.Addr(), p, map[int]string{0: "0", 1: "0", 2: "0", 3: "0"})
	contains(t, tool(t, groupCommand, on("--group", p.group, "--reset-offsets", "--all-topics", "--to-earliest", "--execute")...),
		"only be reset if the group")
	contains(t, refused(t, groupCommand, on("--group", p.group, "--delete")...), "GroupNotEmptyException")
	contains(t, refused(t, groupCommand, on("--group", p.group, "--delete-offsets", "--topic", p.topic)...), "GroupSubscribedToTopic")
	// The protocol of KIP-848 is not there, and the client says so at once.
	contains(t, refused(t, consumerPerf, on("--topic", p.topic, "--group", "next",
		"--command-property", "group.protocol=consumer", "--num-records", "1", "--timeout", "60000")...), "UnsupportedVersionException")
}

// refused runs a tool and returns what it says about why it could not do
// something, with whatever exit code.
func refused(t *testing.T, class string, args ...string) string {
	t.Helper()
	out, err := execute("java", slices.Concat(jvm, []string{class}, args)...)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
