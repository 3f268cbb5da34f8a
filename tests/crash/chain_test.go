package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	chainTopic      = "crash-chain"
	chainLetters    = "dlq." + chainTopic
	chainPartitions = 3
)

// call sends a request to the broker's HTTP interface.
func call(t *testing.T, method, url, body string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s", method, url, r.Status, text)
	}
}

// TestCrashChain kills the broker under load through a chain that dead-letters
// every tenth record (it is not JSON, and the stage redacts JSON), again and
// again (VARVE_CRASH_ROUNDS). Every acknowledged record is then in the topic or
// among its dead letters, once.
func TestCrashChain(t *testing.T) {
	rounds := crashRounds(t)
	bin, dir, port, httpPort := build(t), t.TempDir(), freePort(t), freePort(t)
	settings := []string{"wal.bytes.max=64MiB", "wal.file.bytes=8MiB", "log.segment.bytes=2MiB", "log.level=warn",
		fmt.Sprintf("http.listen=127.0.0.1:%d", httpPort)}
	p := start(t, bin, dir, port, settings...)
	create(t, port, chainTopic, chainPartitions)
	base := fmt.Sprintf("http://127.0.0.1:%d/v1/", httpPort)
	awaitBuiltins(t, base)
	call(t, "PUT", base+"stages/redact-chain", `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["secret"]}, "on_failure": "dead-letter"}`)
	call(t, "PUT", base+"topics/"+chainTopic+"/chain", `{"stages": ["redact-chain"]}`)
	l := startChainLoad(t, port)
	rng := rand.New(rand.NewPCG(2, uint64(time.Now().UnixNano())))
	for round := range rounds {
		time.Sleep(time.Duration(200+rng.IntN(800)) * time.Millisecond)
		p.kill(t)
		p = start(t, bin, dir, port, settings...)
		if (round+1)%20 == 0 {
			t.Logf("%d of %d rounds", round+1, rounds)
		}
	}
	l.finish(t)
	l.judge(t, port)
	p.stop(t)
}

// awaitBuiltins waits until the plugins that come with the broker are compiled.
func awaitBuiltins(t *testing.T, base string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		r, err := http.Get(base + "plugins")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if bytes.Contains(text, []byte("builtin/redact")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no built-in plugins: %s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// chainLoad is producers whose every tenth record is no JSON.
type chainLoad struct {
	wg      sync.WaitGroup
	stop    chan struct{}
	mu      sync.Mutex
	acks    []acked
	clients []*kgo.Client
	failed  error
}

func startChainLoad(t *testing.T, port int) *chainLoad {
	l := &chainLoad{stop: make(chan struct{})}
	for id := range loopProducers {
		cl := client(t, port, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Millisecond),
			kgo.MaxBufferedRecords(200), kgo.ProducerBatchMaxBytes(16<<10))
		l.clients = append(l.clients, cl)
		l.wg.Go(func() { l.produce(cl, id) })
	}
	return l
}

func (l *chainLoad) produce(cl *kgo.Client, id int) {
	var sent sync.WaitGroup
	defer sent.Wait()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		value := fmt.Sprintf(`{"id": "%d/%d", "secret": "s%d"}`, id, n, n)
		if n%10 == 9 {
			value = fmt.Sprintf("%d/%d is not JSON", id, n)
		}
		r := &kgo.Record{Topic: chainTopic, Partition: int32(n % chainPartitions), Value: []byte(value)}
		sent.Add(1)
		cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			defer sent.Done()
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				l.failed = err
				return
			}
			l.acks = append(l.acks, acked{r.Partition, r.Offset, id, n})
		})
	}
}

func (l *chainLoad) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	for _, cl := range l.clients {
		cl.Close()
	}
	if l.failed != nil {
		t.Errorf("a record was not accepted: %v", l.failed)
	}
}

// judge compares what was acknowledged with the topic and its dead letters.
func (l *chainLoad) judge(t *testing.T, port int) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	kept, letters := map[string]place{}, map[string]place{}
	doubled, wrong := 0, 0
	for p, rs := range readAll(t, port, chainTopic, chainPartitions, logEnds(t, port, chainTopic, chainPartitions)) {
		for _, r := range rs {
			id, secret, ok := strings.Cut(strings.TrimPrefix(string(r.Value), `{"id": "`), `", "secret": "`)
			if !ok || secret != `***"}` {
				wrong++
				t.Logf("stored as %q", r.Value)
			}
			if _, ok := kept[id]; ok {
				doubled++
			}
			kept[id] = place{p, r.Offset}
		}
	}
	l.awaitLetters(t, port)
	for _, rs := range readAll(t, port, chainLetters, chainPartitions, logEnds(t, port, chainLetters, chainPartitions)) {
		for _, r := range rs {
			id, _, _ := strings.Cut(string(r.Value), " ")
			if _, ok := letters[id]; ok {
				doubled++
			}
			letters[id] = origin(t, r)
		}
	}
	lost, moved := 0, 0
	for _, a := range l.acks {
		id := fmt.Sprintf("%d/%d", a.producer, a.number)
		at, ok := kept[id]
		if a.number%10 == 9 {
			at, ok = letters[id]
		}
		switch {
		case !ok:
			lost++
		case at != place{a.partition, a.offset}:
			moved++
		}
	}
	text := fmt.Sprintf("acknowledged %d, stored %d, dead letters %d: lost %d, duplicated %d, moved %d, not redacted %d",
		len(l.acks), len(kept), len(letters), lost, doubled, moved, wrong)
	t.Log(text)
	if lost+doubled+moved+wrong > 0 || len(l.acks) == 0 {
		t.Error(text)
	}
}

// origin reads where a dead letter comes from.
func origin(t *testing.T, r *kgo.Record) (at struct {
	partition int32
	offset    int64
}) {
	t.Helper()
	for _, h := range r.Headers {
		n, err := strconv.ParseInt(string(h.Value), 10, 64)
		switch h.Key {
		case "__dlq.errors.partition":
			at.partition = int32(n)
		case "__dlq.errors.offset":
			at.offset = n
		default:
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// awaitLetters waits until every acknowledged dead letter is delivered: it is
// durable when its batch is, and reaches its topic soon after.
func (l *chainLoad) awaitLetters(t *testing.T, port int) {
	t.Helper()
	want := int64(0)
	for _, a := range l.acks {
		if a.number%10 == 9 {
			want++
		}
	}
	deadline := time.Now().Add(time.Minute)
	for {
		have := int64(0)
		for _, end := range logEnds(t, port, chainLetters, chainPartitions) {
			have += end
		}
		if have >= want || time.Now().After(deadline) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
