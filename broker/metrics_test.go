package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/lint/generated"
	"github.com/varvelog/varve/internal/metric/metrictest"
	"github.com/varvelog/varve/internal/vfs"
)

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// runLogged is run with messages from debug on.
func runLogged(t *testing.T, set ...string) (*running, *logBuffer) {
	t.Helper()
	lines := &logBuffer{}
	log := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return runWith(t, Components{FS: vfs.NewMem(vfs.MemOptions{}), Log: log, Version: "1.2.3"}, settings(t, set...)), lines
}

func (r *running) scrape(t *testing.T) *metrictest.Scrape {
	t.Helper()
	_, http := r.b.Addresses()
	s, err := metrictest.Get("http://" + http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stage makes a stage once its built-in plugin is compiled.
func (r *running) stage(t *testing.T, name, spec string) {
	t.Helper()
	for {
		_, err := (pluginAdmin{r.b}).PutStage(t.Context(), name, []byte(spec))
		if err == nil {
			return
		}
		if !errors.Is(err, admin.ErrNotFound) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *running) chained(t *testing.T, name string, id byte, chain string) {
	t.Helper()
	c := metadata.CreateTopic{Name: name, TopicID: ident.TopicID{id}, Partitions: 2, ReplicationFactor: 1}
	if chain != "" {
		c.Configs = []metadata.KV{{Name: metadata.ChainConfig, Value: chain}}
	}
	res, err := r.b.command(t.Context(), c)
	if err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	if chain == "" {
		return
	}
	if err := r.b.awaitChain(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// value wants a metric's series with labels to have a value.
func value(t *testing.T, s *metrictest.Scrape, want float64, name string, labels ...string) {
	t.Helper()
	if v, n := s.Value(name, labels...); v != want || n == 0 {
		t.Errorf("%s%v is %v in %d series, want %v", name, labels, v, n, want)
	}
}

// some wants it to be above 0.
func some(t *testing.T, s *metrictest.Scrape, name string, labels ...string) {
	t.Helper()
	if v, _ := s.Value(name, labels...); v <= 0 {
		t.Errorf("%s%v is %v", name, labels, v)
	}
}

// use does something that every metric tells of.
func use(t *testing.T, r *running) {
	t.Helper()
	r.stage(t, "thin", `{"plugin": "builtin/filter", "hook": "transform", "parameters": {"drop": {"key_prefix": "drop"}}}`)
	r.stage(t, "redact", `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["secret"]}, "on_failure": "dead-letter"}`)
	r.chained(t, "plain", 1, "")
	r.chained(t, "chained", 2, "thin,redact")
	cl := r.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	send := func(topic string, keyValues ...string) {
		var batch []*kgo.Record
		for i := 0; i < len(keyValues); i += 2 {
			batch = append(batch, &kgo.Record{Topic: topic, Key: []byte(keyValues[i]), Value: []byte(keyValues[i+1])})
		}
		if err := cl.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	send("plain", "a", "1", "b", "2", "c", "3")
	send("chained", "drop1", `{"secret": 1}`, "k1", `{"secret": 1}`, "k2", `{"other": 1}`, "k3", "no JSON", "drop2", "x")
	reader := r.client(t, kgo.ConsumeTopics("plain"), kgo.ConsumerGroup("readers"), kgo.DisableAutoCommit())
	for n := 0; n < 3; {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	offsets := map[string]map[int32]kgo.EpochOffset{"plain": {0: {Epoch: -1, Offset: 1}}}
	committed := make(chan error, 1)
	reader.CommitOffsetsSync(t.Context(), offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		committed <- err
	})
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	for !r.delivered("dlq.chained") {
		time.Sleep(time.Millisecond)
	}
	garbage(t, cl, -1)
	garbage(t, cl, 0)
}

// delivered reports whether partition 0 of a topic has something.
func (r *running) delivered(topic string) bool {
	t, ok := r.b.node.Image().Topic(topic)
	if !ok {
		return false
	}
	p := r.b.node.Replica(ident.Partition{Topic: t.ID})
	if p == nil || p.Partition == nil {
		return false
	}
	o, err := p.Partition.Offsets()
	return err == nil && o.HighWatermark > 0
}

// garbage produces something that is no batch, and waits for what becomes of it.
func garbage(t *testing.T, cl *kgo.Client, acks int16) {
	t.Helper()
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = acks, 1000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = make([]byte, 80)
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: "plain", Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	// Seven is the last version in which the client is not told the reason.
	resp, err := cl.Broker(1).Request(t.Context(), pinned{q, 7})
	switch {
	case acks == 0 && err != nil: // the connection was closed
	case err != nil:
		t.Fatal(err)
	case resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0:
		t.Fatal("garbage was taken")
	}
}

// pinned is a request in at most a version.
type pinned struct {
	kmsg.Request
	version int16
}

func (p pinned) MaxVersion() int16 { return p.version }

func TestMetrics(t *testing.T) {
	r, lines := runLogged(t, "group.initial.rebalance.delay.ms=0")
	use(t, r)
	s := r.scrape(t)
	t.Run("values", func(t *testing.T) { checkValues(t, s) })
	t.Run("declared", func(t *testing.T) { checkDeclared(t, s) })
	log := lines.String()
	for _, want := range []string{
		`level=DEBUG msg="produce refused"`, "topic=plain partition=0", "api=Produce api_version=7",
		`level=DEBUG msg="request aborted"`, "duration_seconds=", "client_id=kgo",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log", want)
		}
	}
	r.end(t)
}

func checkValues(t *testing.T, s *metrictest.Scrape) {
	value(t, s, 3, "varve_topic_received_records_total", "topic=plain")
	value(t, s, 5, "varve_topic_received_records_total", "topic=chained")
	value(t, s, 1, "varve_topic_received_batches_total", "topic=chained")
	value(t, s, 3, "varve_topic_sent_records_total", "topic=plain")
	in, _ := s.Value("varve_topic_received_bytes_total", "topic=plain")
	value(t, s, in, "varve_topic_sent_bytes_total", "topic=plain") // the same bytes
	value(t, s, in, "varve_topic_log_bytes", "topic=plain")
	value(t, s, 2, "varve_topic_partitions", "topic=plain")

	for _, c := range []struct {
		stage, outcome string
		n              float64
	}{
		{"thin", "kept", 3}, {"thin", "dropped", 2}, {"thin", "replaced", 0}, {"thin", "dead_lettered", 0},
		{"redact", "replaced", 1}, {"redact", "kept", 1}, {"redact", "dead_lettered", 1}, {"redact", "dropped", 0},
	} {
		value(t, s, c.n, "varve_stage_records_total", "topic=chained", "stage="+c.stage, "outcome="+c.outcome)
	}
	value(t, s, 1, "varve_stage_failures_total", "topic=chained", "stage=redact")
	value(t, s, 1, "varve_dead_letters_total", "topic=chained")
	value(t, s, 2, "varve_stage_calls_total", "topic=chained")
	for _, name := range []string{"run_seconds", "fuel"} {
		some(t, s, "varve_stage_"+name+"_total", "topic=chained", "stage=thin")
	}
	value(t, s, 1, "varve_chain_duration_seconds")
	value(t, s, 1, "varve_chain_queue_duration_seconds")
	some(t, s, "varve_plugin_memory_bytes")

	value(t, s, 2, "varve_group_lag_records", "group=readers", "topic=plain")
	value(t, s, 1, "varve_groups", "state=Stable")

	some(t, s, "varve_kafka_request_duration_seconds", "api=Produce")
	some(t, s, "varve_kafka_request_duration_seconds", "api=Fetch")
	some(t, s, "varve_kafka_fetch_read_duration_seconds")
	value(t, s, 1, "varve_kafka_request_errors_total", "api=Produce")
	value(t, s, 1, "varve_kafka_requests_aborted_total", "api=Produce")
	some(t, s, "varve_connections")
	some(t, s, "varve_network_received_bytes_total")
	some(t, s, "varve_network_sent_bytes_total")

	some(t, s, "varve_wal_commit_duration_seconds")
	commits, _ := s.Value("varve_wal_commit_bytes")
	if entries := s.Sum("varve_wal_commit_records"); commits == 0 || entries < commits {
		t.Errorf("%v entries in %v commits", entries, commits)
	}
	if bytes := s.Sum("varve_wal_commit_bytes"); bytes < in {
		t.Errorf("%v bytes in the write-ahead log for %v of a client", bytes, in)
	}
	some(t, s, "varve_wal_debt_bytes")
	some(t, s, "varve_tail_cache_bytes")
	some(t, s, "varve_disk_free_bytes")
	value(t, s, 0, "varve_owner_values_age_seconds")
	value(t, s, 0, "varve_partitions", "state=damaged")
	value(t, s, 1, "varve_ready")
	value(t, s, 1, "varve_build_info", "version=1.2.3")
}

// checkDeclared wants what is declared to be exported, and nothing else.
func checkDeclared(t *testing.T, s *metrictest.Scrape) {
	for _, d := range metrics.Table().Descs() {
		if got := s.Kind(d.Name); got != d.Kind.String() {
			t.Errorf("%s is %q, declared as a %s", d.Name, got, d.Kind)
		}
		if got := s.Help(d.Name); got != d.Help {
			t.Errorf("%s has the help %q", d.Name, got)
		}
	}
	declared := map[string]bool{}
	for _, d := range metrics.Table().Descs() {
		declared[d.Name] = true
	}
	for _, name := range s.Names() {
		if strings.HasPrefix(name, "varve_") && !declared[name] {
			t.Errorf("%s is not declared", name)
		}
	}
}

// Every metric that the guide names exists.
func TestGuideNamesMetrics(t *testing.T) {
	root, err := generated.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "observability.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, d := range metrics.Table().Descs() {
		known[d.Name] = true
	}
	named := 0
	for _, word := range strings.FieldsFunc(string(page), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		if !strings.HasPrefix(word, "varve_") {
			continue
		}
		named++
		base := word
		for _, end := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, end)
		}
		if !known[word] && !known[base] {
			t.Errorf("%s does not exist", word)
		}
	}
	if named < 20 {
		t.Errorf("%d metrics named", named)
	}
}

// A goroutine that hangs does not hang the scrapes: they tell what was known.
func TestScrapeWhileTheOwnerIsBlocked(t *testing.T) {
	r, _ := runLogged(t)
	cl := r.client(t)
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	before, _ := r.scrape(t).Value("varve_wal_debt_bytes")
	block, blocked := make(chan struct{}), make(chan struct{})
	r.b.owner.post(func(*node.Node) { close(blocked); <-block })
	<-blocked
	for range 3 {
		s := r.scrape(t)
		value(t, s, before, "varve_wal_debt_bytes")
		some(t, s, "varve_owner_values_age_seconds")
		value(t, s, 1, "varve_topic_received_records_total", "topic=t")
	}
	close(block)
	for {
		if v, _ := r.scrape(t).Value("varve_owner_values_age_seconds"); v == 0 {
			break
		}
	}
	r.end(t)
}

// Whoever does not answer is asked once, however many scrapes come, and then
// again.
func TestAsked(t *testing.T) {
	var a asked[int]
	var answers []func(int, bool)
	ask := func(answer func(int, bool)) { answers = append(answers, answer) }
	now := func() time.Time { return time.Unix(100, 0) }
	for range 2 {
		if v, at := a.get(now, ask); v != 0 || !at.IsZero() {
			t.Error(v, at)
		}
	}
	if len(answers) != 1 {
		t.Fatalf("asked %d times", len(answers))
	}
	answers[0](7, true)
	if v, at := a.get(now, func(answer func(int, bool)) { answer(8, false) }); v != 7 || at != now() {
		t.Error(v, at) // it could not tell: the last answer counts
	}
	if v, _ := a.get(now, func(answer func(int, bool)) { answer(9, true) }); v != 9 {
		t.Error(v)
	}
}

func TestTopicsBeyondTheBound(t *testing.T) {
	r, _ := runLogged(t, "metrics.series.max=2")
	cl := r.client(t)
	for i, topic := range []string{"a", "b", "c", "d"} {
		r.chained(t, topic, byte(i+1), "")
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	s := r.scrape(t)
	for _, name := range []string{"varve_topic_received_records_total", "varve_topic_partitions", "varve_topic_log_bytes"} {
		if got := strings.Join(s.Labels(name, "topic"), " "); got != "a b other" {
			t.Errorf("%s has topics %s", name, got)
		}
	}
	value(t, s, 2, "varve_topic_received_records_total", "topic=other")
	value(t, s, 4, "varve_topic_partitions", "topic=other")
	res, err := r.b.command(t.Context(), metadata.DeleteTopic{TopicID: ident.TopicID{1}})
	if err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	r.scrape(t)
	s = r.scrape(t)
	if got := strings.Join(s.Labels("varve_topic_partitions", "topic"), " "); got != "b c other" && got != "b d other" {
		t.Errorf("topics %s", got)
	}
	if got := strings.Join(s.Labels("varve_topic_received_records_total", "topic"), " "); got != "b other" {
		t.Errorf("counters of topics %s", got)
	}
	r.end(t)
}

func TestMessagesAreCounted(t *testing.T) {
	r, _ := runLogged(t)
	before, _ := r.scrape(t).Value("varve_log_messages_total", "level=warn")
	r.b.c.Log.With("a", 1).WithGroup("g").Warn("attention")
	value(t, r.scrape(t), before+1, "varve_log_messages_total", "level=warn")
	r.end(t)
}

func TestObserverTakesAnything(t *testing.T) {
	m, err := newMeters(10, time.Now, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []int16{-1, 0, 1, 127, 128, 32767, -32768} {
		m.Answered(key, -time.Second)
		m.Aborted(key)
		m.Failed(key, key)
	}
	if n := testing.AllocsPerRun(100, func() {
		m.Answered(0, time.Millisecond)
		m.Produced("t", 3, 100)
		m.Fetched("t", 3, 100)
		m.FetchRead(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}
