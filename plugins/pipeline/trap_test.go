package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// sizes returns how many records each call got.
func (g *native) sizes() []int {
	var n []int
	for _, f := range g.frames {
		n = append(n, len(f.records))
	}
	return n
}

// codesOf returns index:code of all emissions.
func codesOf(out *Output) (s []string) {
	for _, e := range out.Emissions {
		s = append(s, fmt.Sprintf("%d:%d", e.Index, e.Code))
	}
	return s
}

func TestTrapCostsOneRecord(t *testing.T) {
	g := &native{t: t, do: func(r *seen) answer {
		switch r.index {
		case 0:
			return drop()
		case 3:
			return trap(wasm.WhyTrapped)
		case 4:
			return trap(wasm.WhyFuel)
		case 9:
			return trap(wasm.WhyMemory)
		}
		return keep()
	}}
	out := run(t, New(testTopic, []Stage{stageOf("a", g, policy(plugins.OnFailureDeadLetter))}, Options{}), clientBatch(t, record.None, false, numbered(10)))
	if got := fmt.Sprint(codesOf(&out)); got != "[3:1000 4:1001 9:1004]" || out.Emissions[0].Message != "boom" {
		t.Fatalf("%s %+v", got, out)
	}
	if got := fmt.Sprint(g.sizes()); got != "[10 6 5]" {
		t.Fatalf("calls of %s records", got)
	}
	if s := out.Stages[0]; s.Traps != 3 || s.Records != 10 || s.Kept != 6 || s.Dropped != 1 || s.Failed != 3 || s.DeadLettered != 3 || s.Calls != 3 || s.Fuel == 0 {
		t.Fatalf("%+v", s)
	}
}

func TestLostVerdictsFailTheirRecords(t *testing.T) {
	g := &native{t: t, do: func(r *seen) answer {
		if r.index == 2 {
			a := trap(wasm.WhyTrapped)
			a.lose = true
			return a
		}
		return keep()
	}}
	out := run(t, New(testTopic, []Stage{stageOf("a", g, policy(plugins.OnFailureDeadLetter))}, Options{}), clientBatch(t, record.None, false, numbered(4)))
	if got := fmt.Sprint(codesOf(&out)); got != "[0:1002 1:1002 2:1000]" {
		t.Fatal(got)
	}
}

func TestAfterEightTrapsTheRestFailsUnrun(t *testing.T) {
	g := &native{t: t, do: func(r *seen) answer {
		if r.index%2 == 0 {
			return trap(wasm.WhyTrapped)
		}
		return keep()
	}}
	next := &native{t: t, do: func(*seen) answer { return keep() }}
	c := New(testTopic, []Stage{stageOf("a", g, policy(plugins.OnFailureDrop)), stageOf("b", next, nil)}, Options{})
	out := run(t, c, clientBatch(t, record.None, false, numbered(100)))
	if out.Kept != 7 || out.Dropped != 93 || len(g.frames) != 8 || len(next.frames[0].records) != 7 {
		t.Fatalf("%d calls, %+v", len(g.frames), out)
	}
	if s := out.Stages[0]; s.Records != 100 || s.Failed != 93 || s.FailedDropped != 93 || s.Traps != 8 {
		t.Fatalf("%+v", s)
	}
}

// A cursor outside of the frame is a lie: nothing that was said before a trap
// can be placed then.
func TestCursorOutsideTheRun(t *testing.T) {
	for _, cursor := range []int{-1, 3, 1 << 30} {
		c := New(testTopic, []Stage{stageOf("a", fixed{wasm.Result{Trap: &wasm.Trap{Cursor: cursor, Out: []byte{0, 0, 0}}}}, policy(plugins.OnFailureDrop))}, Options{})
		if out := run(t, c, clientBatch(t, record.None, false, numbered(3))); out.Dropped != 3 || out.Stages[0].Calls != 1 {
			t.Fatalf("%d: %+v", cursor, out)
		}
	}
}

// fixed answers the same to every call.
type fixed struct{ res wasm.Result }

func (f fixed) Call(abi.Hook, abi.Context, []byte, int64, []byte) (wasm.Result, error) {
	return f.res, nil
}

func TestAnswersThatAreNoVerdicts(t *testing.T) {
	for name, res := range map[string]wasm.Result{
		"none": {}, "too few": {Out: []byte{0}}, "too many": {Out: []byte{0, 0, 0, 0}},
		"a fault": {Fault: "verdicts outside of memory"}, "split": {Out: []byte{5, 0, 0}},
	} {
		c := New(testTopic, []Stage{stageOf("a", fixed{res}, policy(plugins.OnFailureDeadLetter))}, Options{})
		out := run(t, c, clientBatch(t, record.None, false, numbered(3)))
		want := 3
		if name == "too few" {
			want = 2
		}
		if len(out.Emissions) != want || abi.Code(out.Emissions[0].Code) != abi.CodeGarbage || out.Emissions[0].Message == "" {
			t.Fatalf("%s: %+v", name, out)
		}
	}
}

// TestTooLargeHalvesTheRun: an answer or a frame that is too large is no record's
// fault as long as there is more than one.
func TestTooLargeHalvesTheRun(t *testing.T) {
	g := &native{t: t, tooLarge: 30, do: func(*seen) answer { return keep() }}
	out := run(t, New(testTopic, []Stage{stageOf("a", g, nil)}, Options{}), clientBatch(t, record.None, false, numbered(100)))
	if got := fmt.Sprint(g.sizes()); !out.Unchanged || out.Stages[0].Traps != 0 || got != "[100 50 25 50 25 50 25 25]" {
		t.Fatalf("calls of %s: %+v", got, out)
	}
	one := &native{t: t, do: func(r *seen) answer {
		if r.index == 5 {
			return trap(wasm.WhyTooLarge)
		}
		return keep()
	}}
	out = run(t, New(testTopic, []Stage{stageOf("a", one, policy(plugins.OnFailureDeadLetter))}, Options{}), clientBatch(t, record.None, false, numbered(100)))
	if got := fmt.Sprint(codesOf(&out)); got != "[5:1003]" || out.Kept != 99 {
		t.Fatalf("%s %+v", got, out)
	}
	all := fixed{wasm.Result{Trap: &wasm.Trap{Why: wasm.WhyTooLarge}}}
	out = run(t, New(testTopic, []Stage{stageOf("a", all, policy(plugins.OnFailureDrop))}, Options{}), clientBatch(t, record.None, false, numbered(5000)))
	if s := out.Stages[0]; out.Dropped != 5000 || s.Traps != abi.MaxTraps || s.Calls > maxSplits+abi.MaxTraps {
		t.Fatalf("%+v", s)
	}
}

func TestInfrastructureIsAnError(t *testing.T) {
	in := clientBatch(t, record.None, false, numbered(3))
	sick := &native{t: t, err: wasm.ErrMemory, do: func(*seen) answer { return keep() }}
	healthy := &native{t: t, do: func(*seen) answer { return reject(1, "") }}
	c := New(testTopic, []Stage{stageOf("a", healthy, nil), stageOf("b", sick, nil)}, Options{})
	// The first stage rejects all, so the second has nothing to run.
	if out := run(t, c, in); out.Refusal == nil {
		t.Fatal("not refused")
	}
	c = New(testTopic, []Stage{stageOf("b", sick, nil), stageOf("a", healthy, nil)}, Options{})
	if out, err := c.Run(in); !errors.Is(err, wasm.ErrMemory) || out.Batch != nil || out.Refusal != nil || out.Emissions != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	stop := &native{t: t, do: at(1, trap(wasm.WhyStopped))}
	if _, err := New(testTopic, []Stage{stageOf("s", stop, policy(plugins.OnFailureDrop))}, Options{}).Run(in); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	in.Codec = 7
	dropOne := &native{t: t, do: at(1, drop())}
	if _, err := New(testTopic, []Stage{stageOf("s", dropOne, nil)}, Options{}).Run(in); !errors.Is(err, record.ErrCodec) {
		t.Fatal(err)
	}
}

func TestRunsAreBoundedAndFuelled(t *testing.T) {
	rs := numbered(2100)
	rs[1500].Value = make([]byte, 300<<10) // a run of its own
	g := &native{t: t, do: func(*seen) answer { return keep() }}
	b := plugins.Budget{Base: 1000, PerRecord: 10, PerByte: 1}
	c := New(testTopic, []Stage{stageOf("a", g, func(s *Stage) { s.Spec.Budget = b })}, Options{})
	out := run(t, c, clientBatch(t, record.Gzip, false, rs))
	if got := fmt.Sprint(g.sizes()); got != "[1024 476 1 599]" || !out.Unchanged {
		t.Fatal(got)
	}
	for i, f := range g.frames {
		if least := b.For(len(f.records), 64+32*len(f.records)); g.fuel[i] < least || g.fuel[i] > least+400<<10 {
			t.Errorf("call %d of %d records: fuel %d", i, len(f.records), g.fuel[i])
		}
	}
}

func TestDamagedBatchIsRefused(t *testing.T) {
	c := New(testTopic, []Stage{stageOf("a", &native{t: t, do: func(*seen) answer { return keep() }}, nil)}, Options{})
	for _, codec := range codecs {
		in := clientBatch(t, codec, false, numbered(20))
		in.Batch = append([]byte(nil), in.Batch...)
		clear(in.Batch[len(in.Batch)-10:])
		in.Batch[70] ^= 0xff
		if out, err := c.Run(in); err != nil || out.Refusal == nil || out.Rejected != 20 {
			t.Fatalf("%v: %+v, %v", codec, out, err)
		}
	}
}
