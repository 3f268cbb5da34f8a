package pipeline

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// modelRecord is a record in the naive model: values, no shared bytes.
type modelRecord struct {
	record.Record
	first    record.Record // as a dead letter carries it
	fate     string        // empty: on its way
	replaced bool
	letter   string
}

// model runs scripts over records the plain way. It knows the rules of SPEC.md
// and the policies from their text, and shares no code with the pipeline.
type model struct {
	topic    string
	records  []modelRecord
	rejected []string // index and message, of all stages
}

// frameBytes is the size of a record in a frame.
func frameBytes(r *record.Record, parts abi.Parts) int {
	n := 32
	if parts&1 != 0 {
		n += len(r.Key)
	}
	if parts&2 != 0 {
		n += len(r.Value)
	}
	if parts&4 != 0 {
		for _, h := range r.Headers {
			n += 8 + len(h.Key) + len(h.Value)
		}
	}
	return (n + 7) / 8 * 8
}

// stage runs one stage whose plugin follows script.
func (m *model) stage(s *Stage, open bool, script func(index int) answer) {
	var todo []*modelRecord
	for i := range m.records {
		r := &m.records[i]
		if r.fate == "" && !(r.Value == nil && s.Parts == abi.PartValue && !s.Tombstones) {
			todo = append(todo, r)
		}
	}
	for traps := 0; len(todo) > 0; {
		if traps == 8 {
			for _, r := range todo {
				m.fail(s, r, open, false, 1000, "not run: the plugin trapped 8 times in this batch")
			}
			return
		}
		n, size := 0, 64+(len(m.topic)+7)/8*8
		for n < len(todo) && n < 1024 {
			size += frameBytes(&todo[n].Record, s.Parts)
			if n > 0 && size > 256<<10 {
				break
			}
			n++
		}
		done, trapped := m.run(s, open, todo[:n], script)
		todo = todo[done:]
		if trapped {
			traps++
		}
	}
}

// run runs one call and returns how many records have had their answer.
func (m *model) run(s *Stage, open bool, run []*modelRecord, script func(int) answer) (done int, trapped bool) {
	answers := make([]answer, len(run))
	for i, r := range run {
		if answers[i] = script(int(r.OffsetDelta)); answers[i].trap == nil {
			continue
		}
		for j := range i {
			if answers[i].lose || m.garbageBefore(answers[:j+1]) {
				m.fail(s, run[j], open, false, 1002, "no verdict before a trap")
			} else {
				m.apply(s, run[j], open, &answers[j].verdict)
			}
		}
		m.fail(s, r, open, false, uint16(answers[i].trap.Code()), "boom")
		return i + 1, true
	}
	for i, r := range run {
		if m.garbageBefore(answers[:i+1]) {
			m.fail(s, r, open, false, 1002, "*")
		} else {
			m.apply(s, r, open, &answers[i].verdict)
		}
	}
	return len(run), false
}

func (m *model) garbageBefore(answers []answer) bool {
	for i := range answers {
		if answers[i].raw != nil {
			return true
		}
	}
	return false
}

func (m *model) apply(s *Stage, r *modelRecord, open bool, v *abi.Verdict) {
	switch v.Action {
	case abi.Drop:
		r.fate = "dropped"
	case abi.Reject:
		m.fail(s, r, open, false, uint16(v.Code), string(v.Message))
	case abi.DeadLetter:
		m.fail(s, r, open, true, uint16(v.Code), string(v.Message))
	case abi.Replace:
		if v.Mask&1 != 0 {
			r.Key = v.Key
		}
		if v.Mask&2 != 0 {
			r.Value = v.Value
		}
		if v.Mask&4 != 0 {
			r.Headers = v.Headers.AppendTo(nil)
		}
		if v.Mask&8 != 0 {
			r.TimestampDelta = v.Timestamp - baseTime
		}
		if v.Mask != 0 {
			r.replaced = true
			if s.Spec.Sensitive {
				r.first = r.Record
			}
		}
	}
}

func (m *model) fail(s *Stage, r *modelRecord, open, asked bool, code uint16, message string) {
	to := s.Spec.OnFailure.String()
	if asked {
		to = "dead-letter"
	}
	if to == "dead-letter" && open {
		to = "reject"
	}
	switch to {
	case "reject":
		r.fate = "rejected"
		m.rejected = append(m.rejected, fmt.Sprintf("%06d", r.OffsetDelta))
	case "dead-letter":
		r.fate = "dead-lettered"
		payload := text(&r.first)
		if s.Spec.DeadLetter.Payload == plugins.PayloadNone {
			payload = ""
		}
		r.letter = fmt.Sprintf("%d dlq.%s %s %d %q %s", r.OffsetDelta, m.topic, s.Name, code, message, payload)
	case "drop":
		r.fate = "dropped"
	}
}

// summary is what is compared with an Output.
func (m *model) summary() string {
	var b strings.Builder
	if sort.Strings(m.rejected); len(m.rejected) > 0 {
		fmt.Fprintf(&b, "rejected %d %v", len(m.rejected), m.rejected[:min(len(m.rejected), 1000)])
		return b.String()
	}
	unchanged := true
	for i := range m.records {
		r := &m.records[i]
		unchanged = unchanged && r.fate == "" && !r.replaced
		switch r.fate {
		case "":
			fmt.Fprintf(&b, "stored %s\n", text(&r.Record))
		case "dead-lettered":
			fmt.Fprintf(&b, "letter %s\n", r.letter)
		}
	}
	fmt.Fprintf(&b, "unchanged %v", unchanged)
	return b.String()
}

// summaryOf is the summary of an Output, in the order of indexes.
func summaryOf(t testing.TB, out *Output) string {
	var b strings.Builder
	if out.Refusal != nil {
		errs := out.Refusal.(*record.RecordsError)
		var at []string
		for _, e := range errs.RecordErrors {
			at = append(at, fmt.Sprintf("%06d", e.Index))
		}
		fmt.Fprintf(&b, "rejected %d %v", errs.Total, at)
		return b.String()
	}
	type line struct {
		at   int
		text string
	}
	var lines []line
	if out.Batch != nil {
		_, records := stored(t, out.Batch)
		for _, r := range records {
			var at int
			fmt.Sscanf(r, "%d", &at)
			lines = append(lines, line{at, "stored " + r + "\n"})
		}
	}
	for _, e := range out.Emissions {
		message, payload := fmt.Sprintf("%q", e.Message), ""
		if e.Code == 1002 && !strings.HasPrefix(e.Message, "no verdict before") {
			message = `"*"`
		}
		if e.Payload {
			payload = text(&record.Record{OffsetDelta: e.Index, TimestampDelta: e.Timestamp - baseTime, Key: e.Key, Value: e.Value, Headers: e.Headers})
		}
		lines = append(lines, line{int(e.Index), fmt.Sprintf("letter %d %s %s %d %s %s\n", e.Index, e.Topic, e.Stage, e.Code, message, payload)})
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].at < lines[j].at })
	for _, l := range lines {
		b.WriteString(l.text)
	}
	fmt.Fprintf(&b, "unchanged %v", out.Unchanged)
	return b.String()
}

// randomAnswer draws what a plugin does; bad is how often it misbehaves.
func randomAnswer(r *rand.Rand, hook abi.Hook, bad float64) answer {
	if r.Float64() < bad {
		switch r.IntN(4) {
		case 0:
			return garbage()
		case 1:
			a := trap([]wasm.Why{wasm.WhyTrapped, wasm.WhyFuel, wasm.WhyMemory, wasm.WhyDepth}[r.IntN(4)])
			a.lose = r.IntN(4) == 0
			return a
		case 2:
			return reject(abi.Code(r.IntN(1000)), "bad")
		}
		return toDeadLetter(abi.Code(r.IntN(1000)), "worse")
	}
	if hook == abi.HookValidate {
		return keep()
	}
	switch r.IntN(6) {
	case 0:
		return drop()
	case 1:
		v := abi.Verdict{Action: abi.Replace, Mask: abi.Parts(r.IntN(16)), Timestamp: baseTime + r.Int64N(100) - 50}
		v.Key, v.Value = randomPart(r, 20), randomPart(r, 200)
		v.Headers = abi.EncodeHeaders(randomHeaders(r))
		return answer{verdict: v}
	}
	return keep()
}

func randomPart(r *rand.Rand, most int) []byte {
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	b := make([]byte, r.IntN(most)+1)
	for i := range b {
		b[i] = "abcd"[r.IntN(4)]
	}
	return b
}

func randomHeaders(r *rand.Rand) []record.RecordHeader {
	var hs []record.RecordHeader
	for range r.IntN(4) {
		hs = append(hs, record.RecordHeader{Key: []byte{"xyz"[r.IntN(3)]}, Value: randomPart(r, 10)})
	}
	return hs
}
