package metric_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/metric"
	"github.com/varvelog/varve/internal/metric/metrictest"
)

// rig is a table with one metric of each kind, and a server of its set.
type rig struct {
	table    metric.Table
	requests metric.CounterDesc
	busy     metric.CounterDesc
	depth    metric.GaugeDesc
	latency  metric.HistogramDesc
	set      *metric.Set
	url      string
}

func newRig(t testing.TB, max int) *rig {
	t.Helper()
	r := &rig{}
	r.table.Section("All")
	r.requests = r.table.Counter("test_requests_total", "Requests.", metric.Open("topic"), metric.OneOf("outcome", "good", "bad"), metric.AtMost("code", 2))
	r.busy = r.table.SecondsCounter("test_busy_seconds_total", "Time.", metric.Open("topic"))
	r.depth = r.table.Gauge("test_depth", "Depth.", metric.Open("topic"))
	r.latency = r.table.SecondsHistogram("test_latency_seconds", "Latency.", []int64{1e6, 1e7, 1e9})
	if err := r.table.Check(); err != nil {
		t.Fatal(err)
	}
	r.set = metric.NewSet(&r.table, max)
	h, err := metric.Handler(r.set, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *rig) scrape(t testing.TB) *metrictest.Scrape {
	t.Helper()
	s, err := metrictest.Get(r.url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// want checks the sum of a metric's series with labels, and how many they are.
func want(t testing.TB, s *metrictest.Scrape, value float64, series int, name string, labels ...string) {
	t.Helper()
	if v, n := s.Value(name, labels...); v != value || n != series {
		t.Errorf("%s%v is %v in %d series, want %v in %d", name, labels, v, n, value, series)
	}
}

func TestScrape(t *testing.T) {
	r := newRig(t, 10)
	r.set.Counter(r.requests, "a", "good", "x").Add(3)
	r.set.Counter(r.requests, "a", "good", "x").Add(4) // the same series
	r.set.Counter(r.requests, "a", "bad", "x").Add(1)
	r.set.Counter(r.requests, "a", "good", "x").Add(-5) // never goes back
	r.set.Counter(r.busy, "a").Add(1_500_000_000)
	h := r.set.Histogram(r.latency)
	for _, v := range []int64{-5, 1e6, 1e6 + 1, 5e8, 2e9} {
		h.Record(v)
	}
	r.set.Collect(func(k *metric.Sink) {
		k.Gauge(r.depth, 2, "a")
		k.Gauge(r.depth, 3, "a") // summed
		k.Counter(r.busy, 1, "a")
	})
	s := r.scrape(t)
	want(t, s, 7, 1, "test_requests_total", "topic=a", "outcome=good", "code=x")
	want(t, s, 8, 2, "test_requests_total")
	want(t, s, 2.5, 1, "test_busy_seconds_total", "topic=a")
	want(t, s, 5, 1, "test_depth", "topic=a")
	want(t, s, 5, 1, "test_latency_seconds")
	for bound, n := range map[float64]uint64{0.001: 2, 0.01: 3, 1: 4} { // order: each is for itself
		if got := s.Bucket("test_latency_seconds", bound); got != n {
			t.Errorf("%d values up to %v, want %d", got, bound, n)
		}
	}
	if got := s.Sum("test_latency_seconds"); got < 2.502 || got > 2.5021 {
		t.Errorf("sum %v", got)
	}
	for name, kind := range map[string]string{"test_requests_total": "counter", "test_depth": "gauge", "test_latency_seconds": "histogram"} { // order: each is for itself
		if s.Kind(name) != kind || s.Help(name) == "" {
			t.Errorf("%s is a %q with help %q", name, s.Kind(name), s.Help(name))
		}
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if _, n := s.Value(name); n != 1 {
			t.Errorf("no %s", name)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	r := newRig(t, 10)
	r.set.Counter(r.busy, "a").Add(1e9)
	q, _ := http.NewRequest("GET", r.url, nil)
	q.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(text, "# EOF\n") ||
		!strings.Contains(text, "# TYPE test_busy_seconds counter\n") || !strings.Contains(text, "test_busy_seconds_total{topic=\"a\"} 1.0\n") {
		t.Errorf("%s\n%.2000s", resp.Header, text)
	}
}

// Beyond the bound everything is summed as "other", by all metrics alike, and
// places are given back.
func TestSeriesAreBounded(t *testing.T) {
	r := newRig(t, 3)
	told := 6
	r.set.Collect(func(k *metric.Sink) {
		for i := range told {
			k.Gauge(r.depth, 1, fmt.Sprintf("t%d", i))
		}
	})
	for i := range 6 {
		r.set.Counter(r.busy, fmt.Sprintf("t%d", i)).Add(1e9)
	}
	s := r.scrape(t)
	for _, name := range []string{"test_busy_seconds_total", "test_depth"} {
		if got := strings.Join(s.Labels(name, "topic"), " "); got != "other t0 t1 t2" {
			t.Errorf("%s has topics %s", name, got)
		}
		want(t, s, 3, 1, name, "topic=other")
	}
	// A deleted topic makes room; what was counted as other stays.
	r.set.Forget("topic", "t1")
	r.set.Counter(r.busy, "t5").Add(1e9)
	s = r.scrape(t)
	if got := strings.Join(s.Labels("test_busy_seconds_total", "topic"), " "); got != "other t0 t2 t5" {
		t.Error(got)
	}
	want(t, s, 3, 1, "test_busy_seconds_total", "topic=other")
	want(t, s, 1, 1, "test_busy_seconds_total", "topic=t5")
	r.set.Forget("topic", "other")
	want(t, r.scrape(t), 3, 1, "test_busy_seconds_total", "topic=other")
}

// What only collectors tell has its place for as long as they tell it.
func TestPlacesOfToldValues(t *testing.T) {
	r := newRig(t, 2)
	var tell []string
	r.set.Collect(func(k *metric.Sink) {
		for _, topic := range tell {
			k.Gauge(r.depth, 1, topic)
		}
	})
	for _, step := range []struct{ tell, want string }{
		{"a b c", "a b other"}, {"c d", "other"}, {"c d", "c d"}, {"d c b", "c d other"}, {"", ""},
	} {
		tell = strings.Fields(step.tell)
		if got := strings.Join(r.scrape(t).Labels("test_depth", "topic"), " "); got != step.want {
			t.Errorf("told %q: %q, want %q", step.tell, got, step.want)
		}
	}
}

func TestBoundedLabels(t *testing.T) {
	r := newRig(t, 10)
	for _, v := range [][]string{{"a", "good", "x"}, {"a", "ugly", "y"}, {"a", "good", "z"}, {"a"}} {
		r.set.Counter(r.requests, v...).Add(1)
	}
	s := r.scrape(t)
	want(t, s, 1, 1, "test_requests_total", "outcome=good", "code=x")
	want(t, s, 1, 1, "test_requests_total", "outcome=other", "code=y")
	want(t, s, 1, 1, "test_requests_total", "outcome=good", "code=other")
	want(t, s, 1, 1, "test_requests_total", "outcome=other", "code=other") // values are missing
}

// Names come from clients.
func TestHostileValues(t *testing.T) {
	r := newRig(t, 10)
	for _, v := range []string{"", "a\xffb", "\x00", "\"\\\n", "é", strings.Repeat("x", 1<<16), "\xff\xff", "a\x00b"} {
		r.set.Counter(r.busy, v).Add(1e9)
	}
	want(t, r.scrape(t), 8, 8, "test_busy_seconds_total")
	for _, v := range r.scrape(t).Labels("test_busy_seconds_total", "topic") {
		if len(v) > 300 {
			t.Errorf("%d bytes", len(v))
		}
	}
}

func TestNil(t *testing.T) {
	var s *metric.Set
	r := newRig(t, 1)
	s.Counter(r.busy, "a").Add(1)
	s.Histogram(r.latency).Record(1)
	if s.Counter(r.busy).Value() != 0 || s.Histogram(r.latency).Count() != 0 {
		t.Error("counted")
	}
}

func TestConcurrency(t *testing.T) {
	r := newRig(t, 4)
	r.set.Collect(func(k *metric.Sink) { k.Gauge(r.depth, 1, "a") })
	const workers, rounds = 8, 200
	held := r.set.Counter(r.requests, "held", "good", "x")
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				held.Add(1)
				r.set.Counter(r.busy, fmt.Sprint("t", i%10)).Add(1e9)
				r.set.Histogram(r.latency).Record(int64(i) * 1e6)
				if w == 0 && i%50 == 0 {
					r.set.Forget("topic", fmt.Sprint("t", i%10))
				}
				if w < 2 && i%40 == 0 {
					if _, err := metrictest.Get(r.url); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	s := r.scrape(t)
	want(t, s, workers*rounds, 1, "test_requests_total", "topic=held")
	want(t, s, workers*rounds, 1, "test_latency_seconds")
	if v, n := s.Value("test_busy_seconds_total"); n > 5 || v > workers*rounds {
		t.Errorf("%v in %d series", v, n)
	}
}

func TestInstrumentsAllocateNothing(t *testing.T) {
	r := newRig(t, 4)
	c, h := r.set.Counter(r.busy, "a"), r.set.Histogram(r.latency)
	if n := testing.AllocsPerRun(100, func() { c.Add(1); h.Record(5e6) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		declare func(*metric.Table)
		want    string
	}{
		{"fine", func(t *metric.Table) { t.Counter("a_b_total", "Help.") }, ""},
		{"twice", func(t *metric.Table) { t.Gauge("a_b", "Help."); t.Gauge("a_b", "Help.") }, "twice"},
		{"upper case", func(t *metric.Table) { t.Gauge("a_B", "Help.") }, "not a name"},
		{"counter without total", func(t *metric.Table) { t.Counter("a_b", "Help.") }, "_total"},
		{"gauge with total", func(t *metric.Table) { t.Gauge("a_b_total", "Help.") }, "_total"},
		{"milliseconds", func(t *metric.Table) { t.Gauge("a_b_ms", "Help.") }, "base unit"},
		{"seconds recorded as such", func(t *metric.Table) { t.Counter("a_seconds_total", "Help.") }, "nanoseconds"},
		{"nanoseconds exported as such", func(t *metric.Table) { t.SecondsCounter("a_b_total", "Help.") }, "nanoseconds"},
		{"no sentence", func(t *metric.Table) { t.Gauge("a_b", "help") }, "sentence"},
		{"no bounds", func(t *metric.Table) { t.Histogram("a_b", "Help.", nil) }, "bounds"},
		{"bounds that fall", func(t *metric.Table) { t.Histogram("a_b", "Help.", []int64{2, 1}) }, "bounds"},
		{"equal bounds", func(t *metric.Table) { t.Histogram("a_b", "Help.", []int64{1, 1}) }, "bounds"},
		{"label le", func(t *metric.Table) { t.Gauge("a_b", "Help.", metric.Open("le")) }, "label"},
		{"label twice", func(t *metric.Table) { t.Gauge("a_b", "Help.", metric.Open("x"), metric.Open("x")) }, "label"},
	} {
		var table metric.Table
		table.Section("S")
		c.declare(&table)
		err := table.Check()
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, metric.ErrTable) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReferenceNamesEverything(t *testing.T) {
	r := newRig(t, 1)
	page := string(r.table.Reference())
	for _, d := range r.table.Descs() {
		if !strings.Contains(page, "| `"+d.Name+"` | "+d.Kind.String()+" |") || !strings.Contains(page, d.Help) {
			t.Errorf("no %s in\n%s", d.Name, page)
		}
	}
}
