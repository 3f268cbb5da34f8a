package pipeline

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// hostile answers calls with pieces of the fuzzer's bytes. Of each piece the
// first byte says how the call ends, the second how long its answer is.
type hostile struct{ rest []byte }

func (h *hostile) take(n int) []byte {
	n = min(n, len(h.rest))
	p := h.rest[:n]
	h.rest = h.rest[n:]
	return p
}

func (h *hostile) Call(_ abi.Hook, _ abi.Context, frame []byte, _ int64, dst []byte) (wasm.Result, error) {
	p := h.take(3)
	if len(p) < 3 {
		return wasm.Result{Out: make([]byte, abi.FrameCount(frame))}, nil
	}
	piece := h.take(int(p[1]))
	out := append(dst[:0], piece...)
	switch p[0] % 8 {
	case 0, 1, 2:
		return wasm.Result{Out: out}, nil
	case 3:
		return wasm.Result{Fault: "outside"}, nil
	case 4: // all kept, with a replacement at the end
		n := abi.FrameCount(frame)
		out = append(append(dst[:0], make([]byte, max(n-1, 0))...), piece...)
		return wasm.Result{Out: out}, nil
	}
	why := []wasm.Why{wasm.WhyTrapped, wasm.WhyFuel, wasm.WhyDepth, wasm.WhyMemory, wasm.WhyTooLarge, wasm.WhyExit, 200, wasm.WhyStopped}[p[0]/8%8]
	return wasm.Result{Trap: &wasm.Trap{Why: why, Cursor: int(int8(p[2])), Out: out, Text: string(out)}}, nil
}

// FuzzRun: whatever plugins answer, nothing panics, every record has exactly one
// fate (W3), what is stored decodes, and the same answers give the same output.
func FuzzRun(f *testing.F) {
	f.Add(byte(3), byte(0), byte(0), []byte{})
	f.Add(byte(9), byte(1), byte(0x15), []byte{0, 3, 0, 0, 1, 0})
	f.Add(byte(4), byte(4), byte(0x2a), []byte{4, 8, 0, 2, 2, 2, 0, 0, 0, 'h', 'i'})
	f.Add(byte(20), byte(2), byte(0x03), []byte{5, 2, 2, 0, 1, 13, 0, 0, 0, 4, 14, 2, 15, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'x'})
	f.Add(byte(30), byte(3), byte(0x40), []byte{37, 0, 0, 37, 0, 0, 3, 0, 0, 0, 9, 0, 4, 1, 0, 2, 0, 0, 0, 'n', 'o'})
	f.Fuzz(func(t *testing.T, count, codec, setup byte, script []byte) {
		in := clientBatch(t, codecs[int(codec)%len(codecs)], false, numbered(1+int(count)%64))
		in.Open = uint64(setup >> 7)
		chain := func() *Chain {
			h := &hostile{rest: script}
			return New(testTopic, []Stage{
				stageOf("a", h, func(s *Stage) { s.Spec.OnFailure = plugins.Policy(setup & 3) }),
				stageOf("b", h, func(s *Stage) {
					s.Hook, s.Spec.OnFailure, s.Parts = abi.Hook(setup>>4&1), plugins.Policy(setup>>2&3), abi.Parts(setup>>3&15)
				}),
			}, Options{Limits: record.Limits{MaxBatchBytes: 10_000}, MaxMemoryBytes: 100_000})
		}
		before := bytes.Clone(in.Batch)
		out, err := chain().Run(in)
		if err != nil {
			if !errors.Is(err, ErrStopped) || !reflect.DeepEqual(out, Output{}) {
				t.Fatalf("%+v, %v", out, err)
			}
			return
		}
		if !bytes.Equal(before, in.Batch) {
			t.Fatal("the client's batch was changed")
		}
		checkOutput(t, &in, &out)
		checkOnce(t, &out)
		if again, err := chain().Run(in); err != nil || !reflect.DeepEqual(out, again) {
			t.Fatalf("%+v\nthen %+v, %v", out, again, err)
		}
	})
}

// checkOnce checks that no record is both stored and emitted.
func checkOnce(t *testing.T, out *Output) {
	t.Helper()
	seen := map[int32]bool{}
	note := func(i int32) {
		if seen[i] {
			t.Fatalf("record %d twice", i)
		}
		seen[i] = true
	}
	for i, e := range out.Emissions {
		if note(e.Index); i > 0 && e.Index < out.Emissions[i-1].Index {
			t.Fatal("emissions are not sorted")
		}
	}
	if out.Batch == nil {
		return
	}
	if err := record.ForEach(out.Batch, 0, func(r *record.Record) error {
		note(r.OffsetDelta)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
