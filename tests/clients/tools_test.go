//go:build clients

package clients

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/tests/clients/scenario"
)

const (
	getOffsets   = "org.apache.kafka.tools.GetOffsetShell"
	producerPerf = "org.apache.kafka.tools.ProducerPerformance"
	consumerPerf = "org.apache.kafka.tools.ConsumerPerformance"
)

// tool runs one of Apache Kafka's command line tools by its class.
func tool(t *testing.T, class string, args ...string) string {
	t.Helper()
	out, err := execute("java", slices.Concat(jvm, []string{class}, args)...)
	if err != nil {
		t.Fatalf("%s %s: %v", class, strings.Join(args, " "), err)
	}
	return string(out)
}

// contains fails unless every text is in what a tool printed.
func contains(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not in\n%s", text, out)
		}
	}
}

// TestTools does with Kafka's own tools what an administrator does with
// kafka-topics.sh, kafka-configs.sh and the others.
func TestTools(t *testing.T) {
	const (
		topics   = "org.apache.kafka.tools.TopicCommand"
		configs  = "kafka.admin.ConfigCommand"
		records  = "org.apache.kafka.tools.DeleteRecordsCommand"
		logDirs  = "org.apache.kafka.tools.LogDirsCommand"
		cluster  = "org.apache.kafka.tools.ClusterTool"
		versions = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	)
	b := start(t)
	at := []string{"--bootstrap-server", b.Addr()}
	on := func(args ...string) []string { return slices.Concat(at, args) }

	tool(t, topics, on("--create", "--topic", "tools", "--partitions", "3", "--replication-factor", "1")...)
	contains(t, tool(t, topics, on("--describe", "--topic", "tools")...), "PartitionCount: 3", "Partition: 2", "Leader: 1")
	tool(t, producerPerf, "--topic", "tools", "--num-records", "3000", "--record-size", "100", "--throughput", "-1",
		"--command-property", "bootstrap.servers="+b.Addr())
	sum := 0
	for _, line := range strings.Fields(tool(t, getOffsets, on("--topic", "tools")...)) {
		sum += lastNumber(t, line)
	}
	if sum != 3000 {
		t.Errorf("3000 records were sent, the log ends add up to %d", sum)
	}
	tool(t, configs, on("--alter", "--entity-type", "topics", "--entity-name", "tools", "--add-config", "retention.ms=7200000")...)
	contains(t, tool(t, configs, on("--describe", "--entity-type", "topics", "--entity-name", "tools")...),
		"retention.ms=7200000", "DYNAMIC_TOPIC_CONFIG")
	file := filepath.Join(t.TempDir(), "offsets.json")
	if err := os.WriteFile(file, deletion(t, "tools", 0, 5), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, tool(t, records, on("--offset-json-file", file)...), "low_watermark: 5")
	contains(t, tool(t, logDirs, on("--describe", "--topic-list", "tools")...), `"partition":"tools-2"`)
	contains(t, tool(t, cluster, "cluster-id", "--bootstrap-server", b.Addr()), "Cluster ID: ")
	contains(t, tool(t, versions, at...), "Produce(0): 0 to 13")
	tool(t, topics, on("--delete", "--topic", "tools")...)
	if out := tool(t, topics, on("--list")...); strings.Contains(out, "tools") {
		t.Errorf("the topic is deleted and listed: %s", out)
	}
}

// deletion is the file that DeleteRecordsCommand reads.
func deletion(t *testing.T, topic string, partition, offset int) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"version":    1,
		"partitions": []any{map[string]any{"topic": topic, "partition": partition, "offset": offset}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// lastNumber returns what stands behind the last colon.
func lastNumber(t *testing.T, line string) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(line[strings.LastIndex(line, ":")+1:]), &n); err != nil {
		t.Fatalf("no offset in %q", line)
	}
	return n
}

// TestConsole writes lines with Kafka's console producer and reads them with
// the console consumer and with another client.
func TestConsole(t *testing.T) {
	b := start(t)
	lines := "k1:one\nk2:two\nk1:three\n"
	out, err := executeWith(t.Context(), strings.NewReader(lines), "java", slices.Concat(jvm, []string{
		"org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", b.Addr(), "--topic", "console",
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
	})...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", b.Addr(), "--topic", "console",
		"--partition", "0", "--offset", "earliest", "--max-messages", "3",
		"--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
	if read != lines {
		t.Errorf("written %q, read %q", lines, read)
	}
	q := scenario.Consume{Reads: []scenario.Read{{Topic: "console"}}}
	if got := run[scenario.Consumed](t, franz(), b.Addr(), "consume", q).Records; len(got) != 3 {
		t.Errorf("3 lines were written, franz-go reads %d", len(got))
	}
}

// TestPerformance runs kafka-producer-perf-test.sh and kafka-consumer-perf-test.sh,
// which have to get through; how fast is for the reader of the log.
func TestPerformance(t *testing.T) {
	const records = 100_000
	b := start(t, "num.partitions=4")
	sent := tool(t, producerPerf, "--topic", "perf", "--num-records", fmt.Sprint(records), "--record-size", "1000", "--throughput", "-1",
		"--bootstrap-server", b.Addr())
	t.Log(sent)
	contains(t, sent, fmt.Sprintf("%d records sent", records))
	t.Log(consumePerformance(t, b.Addr(), "perf", "perf", records))
	for partition, l := range described(t, b.Addr(), "perf", "perf")["perf"] {
		if l.lag != "0" {
			t.Errorf("partition %d: committed %s, the log ends at %s, lag %s", partition, l.committed, l.end, l.lag)
		}
	}
}

// consumePerformance has kafka-consumer-perf-test.sh read a topic in a group, and
// returns what it printed. It fails unless all records were read.
func consumePerformance(t *testing.T, addr, topic, group string, records int) string {
	t.Helper()
	out := tool(t, consumerPerf, "--bootstrap-server", addr, "--topic", topic, "--group", group,
		"--num-records", fmt.Sprint(records), "--timeout", "60000")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	names, values := strings.Split(lines[0], ", "), strings.Split(lines[len(lines)-1], ", ")
	at := slices.Index(names, "data.consumed.in.nMsg")
	if at < 0 || len(values) != len(names) || values[at] != fmt.Sprint(records) {
		t.Errorf("want %d records read:\n%s", records, out)
	}
	return out
}
