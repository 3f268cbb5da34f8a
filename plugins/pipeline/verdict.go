package pipeline

import (
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm/abi"
)

// applyAll applies verdicts to the first records of the run.
func (w *work) applyAll(verdicts []abi.Verdict) {
	for i := range verdicts {
		w.apply(int(w.run[i]), &verdicts[i])
	}
}

// apply applies one verdict, which a record gets at most once per stage.
func (w *work) apply(i int, v *abi.Verdict) {
	switch {
	case v.Action == abi.Keep, v.Action == abi.Replace && v.Mask == 0:
		w.stat.Records++
		w.stat.Kept++
	case v.Action == abi.Drop:
		w.stat.Records++
		w.stat.Dropped++
		w.leave(i, dropped)
	case v.Action == abi.Replace:
		w.replace(i, v)
	case v.Action == abi.DeadLetter:
		w.fail(i, v.Code, string(v.Message), plugins.FailedToDeadLetter)
	default:
		w.fail(i, v.Code, string(v.Message), plugins.FailedByVerdict)
	}
}

// leave takes a record out of the batch.
func (w *work) leave(i int, to state) {
	w.slots[i].state = to
	w.left--
}

// replace gives a record the parts of a verdict. They are copied: the verdict
// lies in the buffer of the next call.
func (w *work) replace(i int, v *abi.Verdict) {
	s := &w.slots[i]
	mark := len(w.headers)
	if !w.chargeReplacement(v) {
		w.headers = w.headers[:mark]
		w.fail(i, abi.CodeTooLarge, "the replacement exceeds the working memory of a batch", plugins.FailedToAnswer)
		return
	}
	w.stat.Records++
	w.stat.Replaced++
	if w.stage.Spec.Sensitive {
		s.original = -1
	} else if s.original < 0 {
		s.original = int32(len(w.originals))
		w.originals = append(w.originals, s.Record)
	}
	s.replaced = true
	if v.Mask.Has(abi.PartKey) {
		s.Key = w.keep(v.Key)
	}
	if v.Mask.Has(abi.PartValue) {
		s.Value = w.keep(v.Value)
	}
	if v.Mask.Has(abi.PartHeaders) {
		s.Headers = w.headers[mark:len(w.headers):len(w.headers)]
		for i := range s.Headers {
			h := &s.Headers[i]
			h.Key, h.Value = w.keep(h.Key), w.keep(h.Value)
		}
	}
	if v.Mask.Has(abi.PartTimestamp) {
		s.Timestamp = v.Timestamp
	}
}

// chargeReplacement counts the memory of a replacement, and appends its headers
// to w.headers as they lie in the verdict.
func (w *work) chargeReplacement(v *abi.Verdict) bool {
	if !w.charge(originalBytes + int64(len(v.Key)) + int64(len(v.Value)) + int64(v.Headers.Len())*headerBytes) {
		return false
	}
	from := len(w.headers)
	w.headers = v.Headers.AppendTo(w.headers)
	n := int64(0)
	for _, h := range w.headers[from:] {
		n += int64(len(h.Key)) + int64(len(h.Value))
	}
	return w.charge(n)
}

// keep copies b, which may be nil, to the arena.
func (w *work) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(w.arena)
	w.arena = append(w.arena, b...)
	if w.arena == nil {
		return []byte{}
	}
	return w.arena[from:len(w.arena):len(w.arena)]
}

// fail lets the policy of the current stage decide about a record.
func (w *work) fail(i int, code abi.Code, message string, how plugins.Failure) {
	w.stat.Records++
	w.stat.Failed++
	switch w.stage.Spec.Decide(how, w.open) {
	case plugins.FateDeadLetter:
		w.stat.DeadLettered++
		w.failures.deadLetter(i, w.at, code, message)
		w.leave(i, deadLettered)
	case plugins.FateDrop:
		w.stat.FailedDropped++
		w.leave(i, dropped)
	case plugins.FatePass:
		w.stat.Passed++
	default:
		w.stat.Rejected++
		w.failures.reject(i, w.stage.Name, code, message)
		w.leave(i, rejected)
	}
}

// asDeadLetter returns the record as a dead letter carries it.
func (w *work) asDeadLetter(s *slot) *abi.Record {
	if s.original >= 0 {
		return &w.originals[s.original]
	}
	return &s.Record
}
