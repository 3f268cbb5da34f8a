package pipeline

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// seen is a record as a plugin finds it in a frame, read by the text of SPEC.md
// and not by package abi.
type seen struct {
	index      uint32
	timestamp  int64
	key, value []byte
	headers    []record.RecordHeader
}

// frameSeen is a parsed frame.
type frameSeen struct {
	parts      uint32
	appendTime int64
	seed       uint64
	generation uint64
	partition  int32
	topic      string
	records    []seen
}

func parseFrame(t testing.TB, b []byte) frameSeen {
	le := binary.LittleEndian
	f := frameSeen{
		parts: le.Uint32(b[12:]), appendTime: int64(le.Uint64(b[16:])), seed: le.Uint64(b[24:]),
		generation: le.Uint64(b[32:]), partition: int32(le.Uint32(b[40:])),
	}
	count, topicLen := int(le.Uint32(b[8:])), int(le.Uint32(b[44:]))
	at := int(le.Uint32(b))
	f.topic = string(b[at : at+topicLen])
	at = (at + topicLen + 7) &^ 7
	for range count {
		r := b[at : at+int(le.Uint32(b[at:]))]
		at += len(r)
		s := seen{index: le.Uint32(r[4:]), timestamp: int64(le.Uint64(r[8:]))}
		p := r[32:]
		take := func(n uint32) []byte {
			if n == math.MaxUint32 {
				return nil
			}
			part := p[:n:n]
			p = p[n:]
			return part
		}
		s.key, s.value = take(le.Uint32(r[16:])), take(le.Uint32(r[20:]))
		for range le.Uint32(r[24:]) {
			n, v := le.Uint32(p), le.Uint32(p[4:])
			p = p[8:]
			s.headers = append(s.headers, record.RecordHeader{Key: take(n), Value: take(v)})
		}
		f.records = append(f.records, s)
	}
	if at != len(b) {
		t.Fatalf("frame of %d bytes, records end at %d", len(b), at)
	}
	return f
}

// answer is what a native plugin does with one record.
type answer struct {
	verdict abi.Verdict
	raw     []byte    // instead of the verdict
	trap    *wasm.Why // instead of an answer
	lose    bool      // with trap: the verdicts before are lost
}

func keep() answer { return answer{} }
func drop() answer { return answer{verdict: abi.Verdict{Action: abi.Drop}} }
func reject(code abi.Code, m string) answer {
	return answer{verdict: abi.Verdict{Action: abi.Reject, Code: code, Message: []byte(m)}}
}
func toDeadLetter(code abi.Code, m string) answer {
	return answer{verdict: abi.Verdict{Action: abi.DeadLetter, Code: code, Message: []byte(m)}}
}
func value(v []byte) answer {
	return answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartValue, Value: v}}
}
func trap(why wasm.Why) answer { return answer{trap: &why} }
func garbage() answer          { return answer{raw: []byte{77}} }

// native is a Guest that runs a Go function over the bytes of the contract.
type native struct {
	t      testing.TB
	do     func(r *seen) answer
	frames []frameSeen
	fuel   []int64
	// tooLarge makes calls with more records than that end with WhyTooLarge.
	tooLarge int
	err      error
}

func (g *native) Call(_ abi.Hook, c abi.Context, frame []byte, fuel int64, dst []byte) (wasm.Result, error) {
	f := parseFrame(g.t, frame)
	g.frames, g.fuel = append(g.frames, f), append(g.fuel, fuel)
	if c.Topic != f.topic || c.Seed != f.seed || c.AppendTime != f.appendTime || c.Partition != f.partition || c.Generation != f.generation {
		g.t.Errorf("context %+v, frame %+v", c, f)
	}
	res := wasm.Result{FuelUsed: int64(len(frame))}
	if g.err != nil {
		return wasm.Result{}, g.err
	}
	if g.tooLarge > 0 && len(f.records) > g.tooLarge {
		res.Trap = &wasm.Trap{Why: wasm.WhyTooLarge, Text: "frame too large"}
		return res, nil
	}
	out := dst[:0]
	for i := range f.records {
		a := g.do(&f.records[i])
		switch {
		case a.trap != nil:
			if a.lose {
				out = out[:0]
			}
			res.Trap = &wasm.Trap{Why: *a.trap, Cursor: i, Out: out, Text: "boom"}
			return res, nil
		case a.raw != nil:
			out = append(out, a.raw...)
		default:
			out = abi.AppendVerdict(out, &a.verdict)
		}
	}
	res.Out = out
	return res, nil
}

// stageOf returns a stage that reads everything.
func stageOf(name string, g Guest, edit func(*Stage)) Stage {
	s := Stage{Name: name, Hook: abi.HookTransform, Guest: g, Parts: abi.AllParts, Tombstones: true,
		Spec: plugins.StageSpec{Plugin: "p", Budget: plugins.DefaultBudget}}
	if edit != nil {
		edit(&s)
	}
	return s
}

func policy(p plugins.Policy) func(*Stage) {
	return func(s *Stage) { s.Spec.OnFailure = p }
}
