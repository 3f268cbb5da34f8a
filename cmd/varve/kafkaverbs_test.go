package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// kafkaShell runs commands that speak Kafka's protocol against one broker.
type kafkaShell struct {
	t       *testing.T
	brokers string
}

func (s kafkaShell) run(stdin, line string) result {
	return run(stdin, append(strings.Fields(line), "--brokers", s.brokers)...)
}

// must runs a command that succeeds.
func (s kafkaShell) must(stdin, line string) result {
	s.t.Helper()
	got := s.run(stdin, line)
	if got.err != nil {
		s.t.Fatalf("varve %s: %v (%s)", line, got.err, got.notes)
	}
	return got
}

// prints runs a command that succeeds and prints exactly want.
func (s kafkaShell) prints(want, stdin, line string) {
	s.t.Helper()
	if got := s.must(stdin, line); got.out != want {
		s.t.Errorf("varve %s prints\n%s, want\n%s", line, got.out, want)
	}
}

// fails runs a command that fails with an error of one line.
func (s kafkaShell) fails(want, stdin, line string) result {
	s.t.Helper()
	got := s.run(stdin, line)
	if got.err == nil || !strings.Contains(got.err.Error(), want) || strings.Contains(got.err.Error(), "\n") || exitCode(got.err) != exitFailed {
		s.t.Errorf("varve %s: %v with exit code %d, want %q and %d", line, got.err, exitCode(got.err), want, exitFailed)
	}
	return got
}

func (s kafkaShell) decode(v any, line string) {
	s.t.Helper()
	got := s.must("", line+" -o json")
	if err := json.Unmarshal([]byte(got.out), v); err != nil {
		s.t.Fatalf("varve %s: %v in %s", line, err, got.out)
	}
}

func TestTopicVerbs(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.prints("TOPIC   STATUS\nbills   created\norders  created\n", "", "topic create orders bills --partitions 2 --config retention.ms=60000 --config cleanup.policy=delete")
	s.fails("topic orders: ", "", "topic create orders")
	s.fails("--if-not-exists accepts that", "", "topic create orders")
	s.prints("TOPIC   STATUS\norders  exists\n", "", "topic create orders --if-not-exists")
	s.fails("INVALID_CONFIG", "", "topic create x --config nosuch=1")
	s.fails("INVALID_REPLICATION_FACTOR", "", "topic create x --replication-factor 3")
	s.prints("TOPIC   PARTITIONS  REPLICAS\nbills   2           1\norders  2           1\n", "", "topic list")
	var list []listedTopic
	s.decode(&list, "topic list")
	if len(list) != 2 || list[1].Topic != "orders" || len(list[1].ID) != 22 {
		t.Errorf("listed %+v", list)
	}
	got := s.fails("INVALID_TOPIC_EXCEPTION", "", "topic create good bad/name")
	if !strings.Contains(got.out, "good      created\n") {
		t.Errorf("a topic that was created is not shown: %q", got.out)
	}

	s.must("a\nb\nc\n", "produce orders --partition 1")
	var topics []describedTopic
	s.decode(&topics, "topic describe orders")
	if len(topics) != 1 || len(topics[0].Partitions) != 2 || len(topics[0].Configs) != 2 {
		t.Fatalf("described %+v", topics)
	}
	if p := topics[0].Partitions[1]; p.Leader != 1 || *p.LogStart != 0 || *p.HighWatermark != 3 || p.Bytes == nil || *p.Bytes == 0 {
		t.Errorf("partition 1 is %+v", p)
	}
	if c := topics[0].Configs[1]; c.Name != "retention.ms" || *c.Value != "60000" || c.Source != "dynamic_topic_config" {
		t.Errorf("the setting is %+v", c)
	}
	text := s.must("", "topic describe orders").out
	for _, want := range []string{"retention.ms    60000\n", "PARTITION  LEADER  REPLICAS  LOG-START  HIGH-WATERMARK  BYTES\n0          1       1         0          0               0\n1          1       1         0          3               "} {
		if !strings.Contains(text, want) {
			t.Errorf("describe prints\n%s, want\n%s", text, want)
		}
	}
	if all := s.must("", "topic describe orders --all-configs").out; !strings.Contains(all, "SETTING") || !strings.Contains(all, "segment.bytes") {
		t.Errorf("all settings are\n%s", all)
	}
	s.fails("topic nosuch: does not exist", "", "topic describe orders nosuch")

	s.prints("TOPIC   STATUS\norders  altered\n", "", "topic alter orders --unset retention.ms --set max.message.bytes=2000000 --partitions 3")
	s.decode(&topics, "topic describe orders")
	if len(topics[0].Partitions) != 3 || len(topics[0].Configs) != 2 || topics[0].Configs[1].Name != "max.message.bytes" {
		t.Errorf("altered to %+v", topics[0])
	}
	s.fails("INVALID_PARTITIONS", "", "topic alter orders --partitions 2")
	s.fails("does not exist", "", "topic alter nosuch --partitions 2")

	s.prints("PARTITION  LOG-START\n1          2\n", "", "topic trim orders --partition 1 --offset 2 --yes")
	s.prints("PARTITION  LOG-START\n0          0\n1          3\n2          0\n", "", "topic trim orders --offset end --yes")
	s.fails("OFFSET_OUT_OF_RANGE", "", "topic trim orders --partition 1 --offset 9 --yes")
	s.fails("has no partition 7", "", "topic trim orders --partition 7 --offset 9 --yes")

	s.confirmed("bills")
}

// confirmed tries every way to answer, and ends with the topic deleted.
func (s kafkaShell) confirmed(topic string) {
	s.t.Helper()
	args := []string{"topic", "delete", topic, "--brokers", s.brokers}
	if got := run("y\n", args...); got.err == nil || exitCode(got.err) != exitUsage || !strings.Contains(got.err.Error(), "--yes") {
		s.t.Errorf("without a terminal: %v", got.err)
	}
	for _, typed := range []string{"n\n", "\n", "", "yesyes\n"} {
		if got := runTyping(typed, args...); got.err != errDeclined || !strings.Contains(got.notes, "Delete "+topic+" with all records? [y/N]") {
			s.t.Errorf("typed %q: %+v", typed, got)
		}
	}
	if got := runTyping("Y\n", args...); got.err != nil || got.out != "TOPIC  STATUS\n"+topic+"  deleted\n" {
		s.t.Errorf("confirmed: %+v", got)
	}
	s.fails("does not exist", "", "topic delete "+topic+" --yes")
}

func TestProduceConsume(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	got := s.must("a\n\nc", "produce lines")
	if got.out != "produced to partition 0 offset 0\nproduced to partition 0 offset 1\nproduced to partition 0 offset 2\n" || got.notes != "3 records to lines, 2 bytes\n" {
		t.Errorf("produce prints %+v", got)
	}
	s.prints("a\n\nc\n", "", "consume lines --until end")
	s.prints("a\n", "", "consume lines --count 1")
	s.prints("1:\n2:c\n", "", `consume lines --from -2 --until end --format %o:%v\n`)
	s.prints("0:a\n", "", `consume lines --until 1 --format %o:%v\n`)
	s.prints("1:\n", "", `consume lines --from 1 --until 2 --format %o:%v\n`)
	if got := s.must("", "consume lines --from 9 --until end"); got.out != "" || !strings.Contains(got.notes, "lines, partition 0 holds offsets 0 to 3") {
		t.Errorf("beyond the end: %+v", got)
	}

	s.must("", "topic create keys --partitions 3")
	s.prints("", "k1:v1\nk2:v2:x\nk1:\n", "produce keys --key-separator : --header a=1 --header b=x,y --quiet --empty-is-null --compression zstd")
	out := strings.Split(strings.TrimSpace(s.must("", `consume keys --until end --format %k=%v,%V,[%h]\n`).out), "\n")
	slices.Sort(out)
	if want := []string{"k1=,-1,[a=1,b=x,y]", "k1=v1,2,[a=1,b=x,y]", "k2=v2:x,4,[a=1,b=x,y]"}; !slices.Equal(out, want) {
		t.Errorf("consumed %q, want %q", out, want)
	}
	copied := s.must("", "consume keys --until end -o json").out
	s.must(copied, "produce copy --format json --quiet")
	again := s.must("", "consume copy --until end -o json").out
	if values(t, copied) != values(t, again) || strings.Count(again, "\n") != 3 {
		t.Errorf("a copy differs:\n%s%s", copied, again)
	}

	s.must("x\n", "produce keys --partition 2 --acks leader -o json")
	if got := s.must("y\n", "produce keys --partition 2 --acks none"); got.out != "sent to partition 2\n" {
		t.Errorf("without acks: %q", got.out)
	}
	s.must("1769860800000_0_old\n", "produce times --format %T_%p_%v")
	s.prints("1769860800000:old\n", "", `consume times --until end --format %T:%v\n`)
}

// values are what two JSON outputs of the same records have in common.
func values(t *testing.T, lines string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(lines) {
		var r jsonRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		r.Topic, r.Partition, r.Offset = "", nil, nil
		b, _ := json.Marshal(r)
		out = append(out, string(b))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestProduceErrors(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create small --config max.message.bytes=1000 --partitions 1")
	s.fails("MESSAGE_TOO_LARGE", strings.Repeat("x", 3000)+"\n", "produce small")
	s.fails("line 1: topic small: invalid record partitioning choice", "x\n", "produce small --partition 4")
	s.fails("topic bad/name: ", "x\n", "produce bad/name")
	if got := s.run("{\"value\": \"a\"}\nno\n", "produce small --format json"); exitCode(got.err) != exitUsage || got.out != "produced to partition 0 offset 0\n" {
		t.Errorf("a bad second line: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "lines")
	writeFile(t, file, []byte("from\na file"))
	s.must("", "produce files --file "+file)
	s.prints("from\na file\n", "", "consume files --until end")
	s.fails("does not exist", "", "consume nosuch")
	s.fails("there is no partition 5", "", "consume files --partition 5")
	s.fails("no topic matches", "", "consume fil --regex")
	s.prints("from\na file\n", "", "consume f.* --regex --until end")
}

// TestProduceBrokerGone: records that no broker takes are an error in the end,
// also if their own timestamps are old.
func TestProduceBrokerGone(t *testing.T) {
	kafka, _, stop := startBrokerIn(t, t.TempDir())
	typed, keys := io.Pipe()
	defer keys.Close()
	printed, out := io.Pipe()
	var notes bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter, a.Reader = out, &notes, typed
	done := make(chan error, 1)
	go func() {
		done <- a.Run(permute(a, []string{"varve", "produce", "gone", "--format", "%T %v", "--timeout", "2s", "--brokers", kafka}))
	}()
	fmt.Fprintln(keys, "1000 first")
	if line, err := bufio.NewReader(printed).ReadString('\n'); err != nil || line != "produced to partition 0 offset 0\n" {
		t.Fatalf("%q, %v", line, err)
	}
	stop()
	fmt.Fprintln(keys, "2000 second")
	err := <-done
	if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "the broker took no record for 2s") {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(notes.String(), "1 record to gone, 5 bytes") {
		t.Errorf("the summary is %q", notes.String())
	}
}

// TestConsumeBrokerGone: who follows a topic is told, and goes on waiting.
func TestConsumeBrokerGone(t *testing.T) {
	kafka, _, stop := startBrokerIn(t, t.TempDir())
	s := kafkaShell{t, kafka}
	s.must("a\n", "produce gone --quiet")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := app()
	told, notes := io.Pipe()
	begun := make(chan struct{})
	a.Writer = &writerFunc{func(p []byte) (int, error) { close(begun); return len(p), nil }}
	a.ErrWriter, a.Reader = notes, strings.NewReader("")
	done := make(chan error, 1)
	go func() {
		err := a.RunContext(ctx, permute(a, []string{"varve", "consume", "gone", "--timeout", "2s", "--brokers", kafka}))
		notes.Close()
		done <- err
	}()
	<-begun
	stop()
	line, err := bufio.NewReader(told).ReadString('\n')
	if err != nil || line != "no broker at "+kafka+" answers; waiting for one\n" {
		t.Errorf("told %q, %v", line, err)
	}
	cancel()
	go io.Copy(io.Discard, told)
	if err := <-done; err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// TestProduceRefused: the broker's reason for each record is printed.
func TestProduceRefused(t *testing.T) {
	kafka, http := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create checked")
	shell{t, http}.awaitPlugin("builtin/redact")
	shell{t, http}.must(nil, "plugin", "attach", "builtin/redact", "--topic", "checked", "--parameters", `{"fields": ["email"]}`, "--on-failure", "reject")
	got := s.fails("3 of 3 records refused", "{\"n\": 1}\nno JSON\n{\"n\": 2}\n", "produce checked")
	lines := strings.Split(got.notes, "\n")
	if got.out != "" || len(lines) != 4 || !strings.HasPrefix(lines[0], "line 1: not stored, as another record") ||
		!strings.Contains(lines[1], "line 2: stage redact-checked: value is not JSON") || !strings.HasPrefix(lines[2], "line 3: not stored") {
		t.Errorf("refused with %+v", got)
	}
	got = s.fails("1 of 3 records refused", "{\"n\": 1}\nno JSON\n{\"n\": 2}\n", "produce checked --one-by-one")
	if got.out != "produced to partition 0 offset 0\nproduced to partition 0 offset 1\n" || !strings.Contains(got.notes, "line 2: stage redact-checked") {
		t.Errorf("one by one: %+v", got)
	}
	s.prints("{\"n\": 1}\n{\"n\": 2}\n", "", "consume checked --until end")
}

// TestConsumeHoles: what a chain dropped never keeps consume from the end.
func TestConsumeHoles(t *testing.T) {
	kafka, http := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("", "topic create sparse --partitions 2")
	shell{t, http}.awaitPlugin("builtin/filter")
	shell{t, http}.must(nil, "plugin", "attach", "builtin/filter", "--topic", "sparse", "--parameters", `{"keep": {"json": "$.keep", "equals": true}}`)
	for _, keep := range []bool{false, true, false, false} {
		s.must(strings.Repeat(fmt.Sprintf("{\"keep\": %v}\n", keep), 3), "produce sparse --partition 0 --quiet")
		s.must("{\"keep\": false}\n", "produce sparse --partition 1 --quiet")
	}
	s.prints("0:3\n0:4\n0:5\n", "", `consume sparse --until end --format %p:%o\n`)
	s.prints("", "", `consume sparse --from -4 --until end --format %p:%o\n`)
	s.prints("0:3\n", "", `consume sparse --from 1 --until 4 --partition 0 --format %p:%o\n`)
	s.prints("0:5\n", "", `consume sparse --from 5 --until 9 --partition 0 --format %p:%o\n`)
}

// TestConsumeFollows: without --until it goes on until it is interrupted, and
// --count and offsets to come end it.
func TestConsumeFollows(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	s.must("a\n", "produce tail --quiet")
	for _, line := range []string{"consume tail --count 3", "consume tail --until 3", "consume tail --from end --count 2"} {
		before := s.must("", "consume tail --until end").out
		done := make(chan result, 1)
		go func() { done <- s.run("", line) }()
		// Whether it is connected yet shows nowhere, so records come until it
		// ends. They come from a client: two commands at once would share
		// urfave/cli's help flag, a global of that package. The topic is a new
		// one in every round, so the client is too.
		c := newKafka(t, kafka)
		var got result
		for ended := false; !ended; {
			if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "tail", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			select {
			case got = <-done:
				ended = true
			default:
			}
		}
		if got.err != nil || strings.Count(got.out, "\n") < 2 {
			t.Errorf("%s: %+v after %q", line, got, before)
		}
		s.must("", "topic trim tail --offset end --yes")
		s.must("", "topic delete tail --yes")
		s.must("a\n", "produce tail --quiet")
	}

	ctx, cancel := context.WithCancel(t.Context())
	var out, notes bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter, a.Reader = &writerFunc{func(p []byte) (int, error) {
		cancel() // Ctrl-C as soon as something is printed
		return out.Write(p)
	}}, &notes, strings.NewReader("")
	if err := a.RunContext(ctx, permute(a, []string{"varve", "consume", "tail", "--brokers", kafka})); err != nil || out.String() != "a\n" {
		t.Errorf("interrupted: %v with %q", err, out.String())
	}
}

type writerFunc struct{ f func([]byte) (int, error) }

func (w *writerFunc) Write(p []byte) (int, error) { return w.f(p) }

// TestConsumeTimes begins and ends at times.
func TestConsumeTimes(t *testing.T) {
	kafka, _ := startBroker(t)
	s := kafkaShell{t, kafka}
	c := newKafka(t, kafka)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.must("", "topic create times --partitions 1")
	base := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		r := &kgo.Record{Topic: "times", Value: []byte{byte('a' + i)}, Timestamp: base.Add(time.Duration(i) * time.Hour)}
		if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	s.prints("c\nd\n", "", "consume times --from @2026-01-31T13:30:00Z --until @2026-01-31T16:00:00Z")
	s.prints("d\ne\n", "", fmt.Sprintf("consume times --from @%d --until end", base.Add(3*time.Hour).UnixMilli()))
	s.prints("", "", "consume times --from @2027-01-01T00:00:00Z --until end")
	s.prints("2026-01-31T12:00:00.000Z\n", "", `consume times --count 1 --format %d\n`)
}

// TestProgress shows a line on a terminal, and only there.
func TestProgress(t *testing.T) {
	var term bytes.Buffer
	show := func(errWriter, writer any, quiet bool) string {
		term.Reset()
		a := &cli.App{}
		a.Writer, a.ErrWriter = writer.(interface{ Write([]byte) (int, error) }), errWriter.(interface{ Write([]byte) (int, error) })
		p := newProgress(cli.NewContext(a, nil, nil), "produced", quiet)
		p.show(3, 4096)
		p.show(4, 4096) // too soon
		p.end()
		return term.String()
	}
	screen := &screen{&term}
	if got := show(screen, &bytes.Buffer{}, false); strings.Count(got, "produced 3 records, 4.0 KiB") != 1 || !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "4 records") {
		t.Errorf("on a terminal: %q", got)
	}
	if got := show(&term, &bytes.Buffer{}, false) + show(screen, screen, false); got != "" {
		t.Errorf("without a terminal, or with data on it: %q", got)
	}
	if got := show(screen, screen, true); !strings.Contains(got, "3 records") {
		t.Errorf("quiet on a terminal: %q", got)
	}
}

// screen is a terminal that is written to.
type screen struct{ *bytes.Buffer }

func (*screen) Terminal() bool { return true }
