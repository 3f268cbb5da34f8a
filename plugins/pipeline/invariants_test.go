package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/wasmtest"
)

// untimed is an Output without what time it took.
func untimed(out Output) Output {
	for i := range out.Stages {
		out.Stages[i].Waited, out.Stages[i].Elapsed = 0, 0
	}
	return out
}

// TestOneBatchManyTimes: a chain of real modules makes the same of a batch, with
// the same fuel, 100 times, on instances that other batches use in between, in two
// sets of pools, and at the same time as others (W2).
func TestOneBatchManyTimes(t *testing.T) {
	chain := func() *Chain {
		pool := pools(t)
		return New(testTopic, []Stage{
			stageOf("upper", pool(wasmtest.Uppercase()), nil),
			stageOf("trap", pool(wasmtest.TrapAt(33)), policy(plugins.OnFailureDeadLetter)),
			stageOf("half", pool(wasmtest.DropEveryOther()), nil),
			stageOf("fuel", pool(wasmtest.Uppercase()), func(s *Stage) {
				s.Spec.OnFailure, s.Spec.Budget = plugins.OnFailureDeadLetter, plugins.Budget{Base: 20_000}
			}),
		}, Options{})
	}
	chains := []*Chain{chain(), chain()}
	in, other := clientBatch(t, record.Zstd, true, numbered(1500)), clientBatch(t, record.None, false, numbered(70))
	want := untimed(run(t, chains[0], in))
	if s := want.Stages; s[0].Fuel == 0 || s[1].Traps != 1 || s[3].Traps == 0 || want.Batch == nil || want.DeadLettered < 3 {
		t.Fatalf("the batch shows too little: %+v", s)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				c := chains[(w+i)%2]
				if i%3 == 0 {
					if _, err := c.Run(other); err != nil {
						t.Error(err)
					}
				}
				got, err := c.Run(in)
				if err != nil || !bytes.Equal(got.Batch, want.Batch) || !reflect.DeepEqual(untimed(got), want) {
					t.Errorf("run %d of worker %d: %+v, %v\nwant %+v", i, w, got.Stages, err, want.Stages)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestOneGenerationPerBatch: every call for a batch, in every stage, in every run
// of it and after traps, has the batch's own generation, clock and seed, also
// while batches of other generations run through the same guests (W6).
func TestOneGenerationPerBatch(t *testing.T) {
	var mu sync.Mutex
	calls := map[uint64]int{}
	guest := func() Guest {
		return guestFunc(func(c abi.Context, frame []byte, dst []byte) wasm.Result {
			f := parseFrame(t, frame)
			if c.Generation != f.generation || c.Seed != 3*c.Generation || c.AppendTime != int64(appendTime+c.Generation) ||
				f.seed != c.Seed || f.appendTime != c.AppendTime {
				t.Errorf("context %+v, frame of generation %d, seed %d, time %d", c, f.generation, f.seed, f.appendTime)
			}
			mu.Lock()
			calls[c.Generation]++
			mu.Unlock()
			for i := range f.records {
				if want := fmt.Sprintf("g%d", c.Generation); string(f.records[i].value) != want {
					t.Errorf("a record of %q in a call of %s", f.records[i].value, want)
				}
				if f.records[i].index%900 == 7 {
					return wasm.Result{Trap: &wasm.Trap{Cursor: i, Out: append(dst[:0], make([]byte, i)...)}}
				}
			}
			return wasm.Result{Out: append(dst[:0], make([]byte, len(f.records))...)}
		})
	}
	stages := []Stage{stageOf("a", guest(), policy(plugins.OnFailurePass)), stageOf("b", guest(), policy(plugins.OnFailureDrop))}
	var wg sync.WaitGroup
	for g := uint64(1); g <= 6; g++ {
		wg.Go(func() {
			records := numbered(3000)
			for i := range records {
				records[i].Value = fmt.Appendf(nil, "g%d", g)
			}
			in := clientBatch(t, record.LZ4, false, records)
			in.Generation, in.Seed, in.AppendTime = g, 3*g, int64(appendTime+g)
			for range 5 { // buffers are used again, by whichever generation comes next
				out, err := New(testTopic, stages, Options{}).Run(in)
				if err != nil || out.Dropped != 4 || out.Kept != 2996 {
					t.Errorf("generation %d: %+v, %v", g, out.Stages, err)
				}
			}
		})
	}
	wg.Wait()
	for g := uint64(1); g <= 6; g++ {
		if calls[g] < 5*6 {
			t.Errorf("%d calls of generation %d", calls[g], g)
		}
	}
}

// guestFunc is a Guest that never fails to run.
type guestFunc func(c abi.Context, frame []byte, dst []byte) wasm.Result

func (g guestFunc) Call(_ abi.Hook, c abi.Context, frame []byte, _ int64, dst []byte) (wasm.Result, error) {
	return g(c, frame, dst), nil
}

// hostileModules are plugins that do harm, each with the code that every record
// fails with.
func hostileModules() map[string]struct {
	module *wasmtest.Module
	code   abi.Code
} {
	body := func(f func(*wasmtest.Code)) *wasmtest.Module {
		c := new(wasmtest.Code)
		f(c)
		return wasmtest.Plugin(c.I64(0), wasmtest.I32)
	}
	type m = struct {
		module *wasmtest.Module
		code   abi.Code
	}
	return map[string]m{
		"endless":   {body(func(c *wasmtest.Code) { c.Loop().Br(0).End() }), abi.CodeOutOfFuel},
		"recursion": {body(func(c *wasmtest.Code) { c.Get(0).Get(1).Call(2).Op(wasmtest.Drop) }), abi.CodeTrapped},
		"pointer":   {body(func(c *wasmtest.Code) { c.I32(-1).Load32(1 << 31).Op(wasmtest.Drop) }), abi.CodeTrapped},
		"bomb": {body(func(c *wasmtest.Code) {
			c.Loop().I32(1).MemoryGrow().Tee(2).I32(-1).Op(wasmtest.I32Eq).If().Op(wasmtest.Unreachable).End()
			c.Get(2).I32(16).Op(wasmtest.I32Shl).I32(1).I32(4096).MemoryFill().Br(0).End()
		}), abi.CodeOutOfMemory},
		"outside": {wasmtest.Plugin(new(wasmtest.Code).I64(-1 << 33)), abi.CodeGarbage},
		"lies":    {wasmtest.Plugin(new(wasmtest.Code).I64(wasmtest.OutAt<<32 | 1<<15)), abi.CodeGarbage},
		"nothing": {wasmtest.Plugin(new(wasmtest.Code).I64(0)), abi.CodeGarbage},
	}
}

// TestBadGuestsFailTheirOwnRecordsOnly: each hostile module fails the records of
// its own topic, every one with its code, and between its batches another topic's
// chain on the same runtime makes of a batch what it always does (W4).
func TestBadGuestsFailTheirOwnRecordsOnly(t *testing.T) {
	pool := pools(t)
	good := New("good", []Stage{stageOf("upper", pool(wasmtest.Uppercase()), nil)}, Options{})
	in := clientBatch(t, record.Snappy, false, numbered(40))
	want := untimed(run(t, good, in))
	for name, m := range hostileModules() {
		bad := New(testTopic, []Stage{stageOf("bad", pool(m.module), func(s *Stage) {
			s.Spec.OnFailure, s.Spec.Budget.Base = plugins.OnFailureDeadLetter, 5_000_000
		})}, Options{})
		for range 3 {
			out := run(t, bad, in)
			if out.DeadLettered != 40 || out.Batch != nil {
				t.Fatalf("%s: %+v", name, out)
			}
			for i, e := range out.Emissions {
				unrun := i >= abi.MaxTraps && abi.Code(e.Code) == abi.CodeTrapped && strings.HasPrefix(e.Message, "not run")
				if abi.Code(e.Code) != m.code && !unrun {
					t.Fatalf("%s: record %d failed with %d, %s", name, i, e.Code, e.Message)
				}
			}
			if got := untimed(run(t, good, in)); !reflect.DeepEqual(got, want) {
				t.Fatalf("after %s: %+v\nwant %+v", name, got, want)
			}
		}
	}
}

// TestEndlessGuestHoldsUpNoOtherTopic: while a plugin spins in one topic, which it
// would do for minutes, 100 batches go through another, and the collector runs.
// When the plugin is stopped, its batch may be run again: nothing of it is judged
// (W4).
func TestEndlessGuestHoldsUpNoOtherTopic(t *testing.T) {
	pool := pools(t)
	endless, began := pool(hostileModules()["endless"].module), make(chan struct{})
	bad := New(testTopic, []Stage{stageOf("bad", generous{endless, began}, nil)}, Options{})
	good := New("good", []Stage{stageOf("upper", pool(wasmtest.Uppercase()), nil)}, Options{})
	in := clientBatch(t, record.Snappy, false, numbered(40))
	want := untimed(run(t, good, in))
	done := make(chan error, 1)
	go func() {
		out, err := bad.Run(in)
		if !reflect.DeepEqual(out, Output{}) {
			err = fmt.Errorf("%w, with %+v", err, out)
		}
		done <- err
	}()
	<-began
	for i := range 100 {
		if got := untimed(run(t, good, in)); !reflect.DeepEqual(got, want) {
			t.Fatalf("batch %d: %+v\nwant %+v", i, got, want)
		}
		if i%25 == 0 {
			runtime.GC()
		}
	}
	select {
	case err := <-done:
		t.Fatalf("the endless plugin ended: %v", err)
	default:
	}
	endless.Stop()
	if err := <-done; !errors.Is(err, ErrStopped) && !errors.Is(err, wasm.ErrStopped) {
		t.Fatalf("after the stop: %v", err)
	}
}

// generous gives a guest more fuel than any budget, and says when it is called,
// which must be once.
type generous struct {
	Guest
	began chan struct{}
}

func (g generous) Call(h abi.Hook, c abi.Context, frame []byte, _ int64, dst []byte) (wasm.Result, error) {
	close(g.began)
	return g.Guest.Call(h, c, frame, 1<<60, dst)
}
