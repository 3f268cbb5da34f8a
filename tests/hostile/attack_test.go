//go:build hostile

package hostile

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/tests/broker"
)

// attack is one attack on one broker.
type attack struct {
	t     *testing.T
	p     *broker.Process
	http  string
	scale int
	files int // that a process may open
	// logs are files that stay open by right: those of the logs that it wrote to.
	logs int
	// met is what became of the attacker, for the table.
	met string
	// state is memory that the attack makes the broker keep by right: topics,
	// groups. It is added to the bound.
	state int64
	conns int // most connections at a time
}

// scenario is an attack and what the broker is started with for it.
type scenario struct {
	name     string
	settings []string
	run      func(*attack)
}

// row is a line of the table.
type row struct {
	name, met   string
	peak, bound int64
	records     int
	stalled     time.Duration
	took        time.Duration
}

// Settings of every broker: small budgets, so that little is needed to reach
// them.
const (
	memoryRequest  = 64 << 20
	memoryResponse = 64 << 20
	requestMax     = 32 << 20
	fetchMax       = 16 << 20
	tailCache      = 16 << 20
	tierMemory     = 32 << 20
	decompressMax  = 32 << 20
)

func settings() []string {
	return []string{
		fmt.Sprintf("memory.request.bytes=%d", memoryRequest),
		fmt.Sprintf("memory.response.bytes=%d", memoryResponse),
		fmt.Sprintf("socket.request.max.bytes=%d", requestMax),
		fmt.Sprintf("fetch.max.bytes=%d", fetchMax),
		fmt.Sprintf("tail.cache.bytes=%d", tailCache),
		fmt.Sprintf("max.decompressed.message.bytes=%d", decompressMax),
		fmt.Sprintf("tier.read.memory.bytes=%d", tierMemory), "wal.bytes.max=64MiB", "wal.file.bytes=16MiB",
		"group.initial.rebalance.delay.ms=0", "log.level=warn",
	}
}

// TestHostile runs all attacks and prints the table.
func TestHostile(t *testing.T) {
	scale := 1
	if s := os.Getenv("VARVE_HOSTILE_SCALE"); s != "" {
		var err error
		if scale, err = strconv.Atoi(s); err != nil || scale < 1 {
			t.Fatalf("VARVE_HOSTILE_SCALE=%q", s)
		}
	}
	files := raiseFiles(t)
	bin, err := broker.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			rows = append(rows, s.judge(t, bin, scale, files))
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %-66s %9s %9s %8s %9s %6s\n", "attack", "what the attacker met", "peak MiB", "bound MiB", "records", "stall ms", "s")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-22s %-66s %9d %9d %8d %9d %6.1f\n", r.name, r.met, r.peak>>20, r.bound>>20, r.records, r.stalled.Milliseconds(), r.took.Seconds())
	}
	t.Logf("open files at most %d\n%s", files, b.String())
}

// judge runs one attack beside a victim (H1 to H5).
func (s *scenario) judge(t *testing.T, bin string, scale, files int) row {
	began := time.Now()
	p := broker.Start(t, broker.Options{Bin: bin, Dir: t.TempDir(), Settings: append(settings(), s.settings...)})
	a := &attack{t: t, p: p, http: p.HTTP(t), scale: scale, files: files}
	a.createTopic(victimTopic, victimPartitions)
	v := startVictim(t, p.Addr())
	before := a.levels()
	s.run(a)
	if t.Failed() {
		t.FailNow()
	}
	a.settles(before)
	r := row{name: s.name, met: a.met, bound: a.bound()}
	r.records, r.stalled = v.finish(t)
	r.peak = a.status("VmHWM")
	r.took = time.Since(began)
	if r.peak > r.bound {
		t.Errorf("peak resident set %d MiB, bound %d MiB", r.peak>>20, r.bound>>20)
	}
	if log := p.Log(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("the broker panicked:\n%.4000s", log)
	}
	p.Stop(t)
	t.Logf("%s: peak %d MiB of %d, %d records, longest stall %v", a.met, r.peak>>20, r.bound>>20, r.records, r.stalled)
	return r
}

// bound is what docs/memory.md says for these settings.
func (a *attack) bound() int64 {
	procs := runtime.GOMAXPROCS(0) // of the broker too
	checks := max(2, procs)
	rewrites := min(checks, 4) + max(1, procs/2)
	return 0 +
		128<<20 + // the program and its tables
		2*memoryRequest + memoryResponse*5/4 + tailCache + tierMemory +
		int64(checks)*24<<20 + int64(rewrites)*3*decompressMax +
		int64(a.conns+100)*24<<10 +
		a.state
}

// levels are what goes back after an attack.
type levels struct {
	connections, goroutines, files int
	requests, responses            int64 // bytes charged
}

func (a *attack) levels() levels {
	a.t.Helper()
	m := a.metrics()
	files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(a.p.PID()), "fd"))
	if err != nil {
		a.t.Fatal(err)
	}
	return levels{
		connections: int(m["varve_connections"]), goroutines: int(m["go_goroutines"]), files: len(files),
		requests:  int64(m[`varve_request_memory_bytes{budget="small"}`] + m[`varve_request_memory_bytes{budget="large"}`] + m[`varve_request_memory_bytes{budget="arriving"}`]),
		responses: int64(m["varve_response_memory_bytes"]),
	}
}

// settles waits until the levels are those before the attack (H3). The victim
// goes on meanwhile, so there is some play.
func (a *attack) settles(before levels) {
	a.t.Helper()
	// What the victim has in hand: a group rebalances and fetches at any time.
	const connections, goroutines, files, bytes = 4, 24, 24, 4 << 20
	var now levels
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		now = a.levels()
		if now.connections <= before.connections+connections && now.goroutines <= before.goroutines+goroutines &&
			now.files <= before.files+files+a.logs && now.requests <= bytes && now.responses <= bytes {
			return
		}
		if time.Now().After(end) {
			a.t.Errorf("left behind: %+v, before %+v", now, before)
			return
		}
	}
}

// metrics returns the series of the metrics page.
func (a *attack) metrics() map[string]float64 {
	a.t.Helper()
	r, err := (&http.Client{Timeout: patience}).Get(a.http + "/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	out := map[string]float64{}
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	if err := lines.Err(); err != nil {
		a.t.Fatal(err)
	}
	return out
}

// status reads a size from the process's status, in bytes.
func (a *attack) status(field string) int64 {
	a.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.p.PID()))
	if err != nil {
		a.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), field+":")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		a.t.Fatal(err)
	}
	return kib << 10
}

// createTopic makes a topic with configs NAME=VALUE.
func (a *attack) createTopic(name string, partitions int32, configs ...string) {
	a.t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = int32(patience.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		kv := kmsg.NewCreateTopicsRequestTopicConfig()
		kv.Name, kv.Value = k, &v
		t.Configs = append(t.Configs, kv)
	}
	q.Topics = append(q.Topics, t)
	resp := kmsg.NewPtrCreateTopicsResponse()
	c := a.dial()
	defer c.nc.Close()
	c.call(q, 5, resp)
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		a.t.Fatalf("create %s: %v", name, err)
	}
}

// wellFormed checks that the broker answers someone else at once (H4).
func (a *attack) wellFormed() {
	a.t.Helper()
	c := a.dial()
	defer c.nc.Close()
	resp := kmsg.NewPtrMetadataResponse()
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(victimTopic)}}
	c.call(q, 9, resp)
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		a.t.Errorf("metadata of the victim's topic: %+v", resp.Topics)
	}
}
