package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// A visit is what is seen of the process while one module is at work.
type visit struct {
	name, outcome string
	calls         int
	each          time.Duration // of a call
	pause         time.Duration // longest stop of the world, with the wait for it, at most
	collection    time.Duration // longest runtime.GC() of another goroutine
	wake          time.Duration // longest that another goroutine slept, of 100 µs
	peak, settled int64         // resident memory above that before: at most, and afterwards
}

// watch calls f until a third of a second has passed, once if nobody reads the
// report, while one goroutine collects garbage and another sleeps and wakes.
func watch(t *testing.T, name string, f func() string) visit {
	t.Helper()
	runtime.GC()
	v := visit{name: name}
	var stop atomic.Bool
	var running, ready sync.WaitGroup
	repeat := func(d *time.Duration, step func()) {
		ready.Add(1)
		running.Go(func() {
			ready.Done()
			for !stop.Load() {
				began := time.Now()
				step()
				*d = max(*d, time.Since(began))
			}
		})
	}
	memory, paused := residentBytes(t), pauses()
	resetPeak()
	repeat(&v.collection, runtime.GC)
	repeat(&v.wake, func() { time.Sleep(100 * time.Microsecond) })
	ready.Wait()
	began := time.Now()
	for v.calls == 0 || testing.Verbose() && time.Since(began) < time.Second/3 {
		v.outcome = f()
		v.calls++
	}
	v.each = time.Since(began) / time.Duration(v.calls)
	stop.Store(true)
	running.Wait()
	v.pause = longestSince(paused)
	v.peak = max(peakBytes(t)-memory, 0)
	runtime.GC()
	v.settled = max(residentBytes(t)-memory, 0)
	return v
}

// pauses returns how often the world was stopped for how long, so far.
func pauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// longestSince returns the upper end of the highest bucket that has grown.
func longestSince(before *metrics.Float64Histogram) time.Duration {
	now := pauses()
	for i := len(now.Counts) - 1; i >= 0; i-- {
		if now.Counts[i] == before.Counts[i] {
			continue
		}
		if end := now.Buckets[i+1]; !math.IsInf(end, 1) {
			return time.Duration(end * float64(time.Second))
		}
		return time.Duration(now.Buckets[i] * float64(time.Second))
	}
	return 0
}

// resetPeak makes the system forget the most memory that the process had. Where
// it cannot, peaks are those since the process began.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200) }

// peakBytes returns the most memory that the process had, or 0 where the system
// does not say.
func peakBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); !ok || err != nil {
		t.Fatalf("no peak memory in the status: %v", err)
	}
	return kib << 10
}

// An upload is a module that is bad for who compiles it.
type upload struct {
	name string
	bin  []byte
	ok   bool // it is accepted
}

func uploads() []upload {
	function := func(body *wasmtest.Code, locals ...byte) []byte {
		m := wasmtest.KeepAll()
		m.Funcs = append(m.Funcs, wasmtest.Func{Body: body, Locals: locals})
		return m.Bytes()
	}
	many := wasmtest.KeepAll()
	for range 2000 {
		many.Funcs = append(many.Funcs, wasmtest.Func{Body: code().Repeat(30, func(c *wasmtest.Code) { c.Call(0) })})
	}
	return []upload{
		{"garbage bytes", bytes.Repeat([]byte("\x00asm\x01\x00\x00\x00\xff"), 1000), false},
		{"100 MB of zeros", make([]byte, 100<<20), false},
		{"100 MB in a valid module", wasmtest.AppendCustom(wasmtest.KeepAll().Bytes(), "x", make([]byte, 100<<20)), false},
		{"compile bomb: 8,000 loops in each other", function(code().Repeat(8000, func(c *wasmtest.Code) {
			c.Loop()
		}).Repeat(8000, func(c *wasmtest.Code) { c.I32(0).BrIf(0).End() })), false},
		{"compile bomb: 50,000 branches in one", function(code().Repeat(50_000, func(c *wasmtest.Code) {
			c.I32(0).If().End()
		})), false},
		{"compile bomb: table of 250,000 labels", function(code().Block().I32(0).Op(0x0e, 0x90, 0xa1, 0x0f).
			Op(make([]byte, 250_001)...).End()), false},
		{"compile bomb: 1 MB in one function", function(code().Repeat(500_000, func(c *wasmtest.Code) { c.Call(0) })), false},
		{"compile bomb: 8,000 locals, 1,000 blocks", function(code().Repeat(1000, func(c *wasmtest.Code) {
			c.Loop().End()
		}), bytes.Repeat([]byte{wasmtest.I64}, 8000)...), false},
		{"compile bomb: 20,000 nested blocks", function(code().Repeat(20_000, func(c *wasmtest.Code) {
			c.Loop()
		}).Repeat(20_000, func(c *wasmtest.Code) { c.End() })), false},
		{"compile bomb: 2,000 functions", many.Bytes(), true},
		{"compile bomb: 200 KB of calls in one", function(code().Repeat(100_000, func(c *wasmtest.Code) { c.Call(0) })), true},
		{"compile bomb: 1,000 branches in one", function(code().Repeat(1000, func(c *wasmtest.Code) { c.I32(0).If().End() })), true},
	}
}

// TestZooReport shows every hostile module to a runtime and prints what becomes of
// it and of the process (W4): go test ./wasm -run TestZooReport -v. What it
// requires is the outcome; times and memory are for people. The first line, a
// plugin that does no harm, is what to compare with.
func TestZooReport(t *testing.T) {
	r := newRuntime(t)
	frame := frameOf(t, 0, frameRecords)
	healthy := newPool(t, r, wasmtest.KeepAll(), PoolConfig{})
	visits := []visit{watch(t, "(a healthy plugin)", func() string {
		verdicts(t, call(t, healthy, frame), frameRecords)
		return "verdicts"
	})}
	for _, b := range zoo() {
		p := newPool(t, r, b.module, PoolConfig{OutBytesMax: 1 << 20})
		if b.fuel == 0 {
			b.fuel = testFuel
		}
		visits = append(visits, watch(t, b.name, func() string {
			got, err := p.Call(abi.HookTransform, testContext, frame, b.fuel, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.check(t, got)
			return outcome(&got)
		}))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		verdicts(t, call(t, healthy, frame), frameRecords)
	}
	for _, u := range uploads() {
		visits = append(visits, watch(t, u.name, func() string {
			m, err := r.Compile(context.Background(), u.bin)
			if (err == nil) != u.ok || err != nil && !errors.Is(err, ErrModule) {
				t.Fatalf("%s: %v", u.name, err)
			}
			if err != nil {
				return "upload: " + err.Error()
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("compiled, %d bytes", len(u.bin))
		}))
		verdicts(t, call(t, healthy, frame), frameRecords)
	}
	t.Log("\n" + table(visits))
}

// outcome says how a call ended and which code its record fails with.
func outcome(r *Result) string {
	if r.Trap != nil {
		return fmt.Sprintf("code %d, record %d: %s", r.Trap.Why.Code(), r.Trap.Cursor, r.Trap.Text)
	}
	s := fmt.Sprintf("code %d: %d bytes of garbage", abi.CodeGarbage, len(r.Out))
	if r.Fault != "" {
		s = fmt.Sprintf("code %d: %s", abi.CodeGarbage, r.Fault)
	}
	return s
}

func table(visits []visit) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "module\twhat happened\tcalls\teach\tlongest pause\tlongest GC\tlongest wake\tpeak MiB\tafter MiB")
	for _, v := range visits {
		ms := func(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/1e6) }
		fmt.Fprintf(w, "%s\t%.70s\t%d\t%s\t%s\t%s\t%s\t+%d\t+%d\n", v.name, v.outcome, v.calls, ms(v.each),
			ms(v.pause), ms(v.collection), ms(v.wake), v.peak>>20, v.settled>>20)
	}
	_ = w.Flush() // to memory
	return b.String()
}
