package crash

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const chainPartitions = 3

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
	s := besiege(t, "chain", slices.Concat(letterPoints, commitPoints))
	s.chapters(func(chapter int) {
		topic := fmt.Sprintf("crash-chain-%d", chapter)
		makeChained(t, s, topic)
		l := startLoad(t, s.port(), topic, chainPartitions, chainValue)
		s.storm(nil)
		acks := l.finish(t)
		s.judged(acks, judgeChain(t, acks, s.port(), topic))
		drop(t, s.port(), topic)
		drop(t, s.port(), "dlq."+topic)
	})
}

// makeChained makes a topic with the chain.
func makeChained(t *testing.T, s *siege, topic string) {
	t.Helper()
	create(t, s.port(), topic, chainPartitions)
	base := s.p.HTTP(t) + "/v1/"
	awaitBuiltins(t, base)
	call(t, "PUT", base+"stages/redact-chain", `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["secret"]}, "on_failure": "dead-letter"}`)
	call(t, "PUT", base+"topics/"+topic+"/chain", `{"stages": ["redact-chain"]}`)
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

// chainValue is JSON with a secret, but for every tenth record.
func chainValue(id, n int) string {
	if n%10 == 9 {
		return fmt.Sprintf("%d/%d is not JSON", id, n)
	}
	return fmt.Sprintf(`{"id": "%d/%d", "secret": "s%d"}`, id, n, n)
}

// judgeChain compares what was acknowledged with the topic and its dead letters,
// and returns how much is wrong.
func judgeChain(t *testing.T, acks []acked, port int, topic string) (violations int) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	kept, letters := map[string]place{}, map[string]place{}
	doubled, wrong := 0, 0
	for p, rs := range readAll(t, port, topic, chainPartitions, logEnds(t, port, topic, chainPartitions)) {
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
	letterTopic := "dlq." + topic
	awaitLetters(t, acks, port, letterTopic)
	for _, rs := range readAll(t, port, letterTopic, chainPartitions, logEnds(t, port, letterTopic, chainPartitions)) {
		for _, r := range rs {
			id, _, _ := strings.Cut(string(r.Value), " ")
			if _, ok := letters[id]; ok {
				doubled++
			}
			letters[id] = origin(t, r)
		}
	}
	lost, moved := 0, 0
	for _, a := range acks {
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
		len(acks), len(kept), len(letters), lost, doubled, moved, wrong)
	t.Log(text)
	violations = lost + doubled + moved + wrong
	if violations > 0 || len(acks) == 0 {
		t.Error(text)
	}
	return violations
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
func awaitLetters(t *testing.T, acks []acked, port int, topic string) {
	t.Helper()
	want := int64(0)
	for _, a := range acks {
		if a.number%10 == 9 {
			want++
		}
	}
	deadline := time.Now().Add(time.Minute)
	for {
		have := int64(0)
		for _, end := range logEnds(t, port, topic, chainPartitions) {
			have += end
		}
		if have >= want || time.Now().After(deadline) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
