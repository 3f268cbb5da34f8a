package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/varvelog/varve/internal/record"
)

// refuse returns the Output of a batch of which nothing is stored.
func (w *work) refuse(err error) Output {
	return Output{Refusal: err, Rejected: max(int(w.in.Header.Count), 0), Stages: w.stats}
}

// finish makes the Output once all stages have run. An error is one of the
// caller's: a codec that does not exist.
func (w *work) finish() (Output, error) {
	w.checkReplaced()
	if w.failures.rejected > 0 {
		return w.refuse(w.failures.refusal()), nil
	}
	out := Output{Stages: w.stats}
	for i := range w.slots {
		switch s := &w.slots[i]; {
		case s.state == dropped:
			out.Dropped++
		case s.state == deadLettered:
			out.DeadLettered++
		case s.replaced:
			out.Replaced++
		default:
			out.Kept++
		}
	}
	if out.Kept == len(w.slots) {
		out.Batch, out.Unchanged = w.in.Batch, true
		return out, nil
	}
	var refusal, err error
	if out.Emissions, refusal = w.emissions(); refusal == nil && w.left > 0 {
		if out.Batch, refusal, err = w.rebuild(); err != nil {
			return Output{}, fmt.Errorf("rebuild batch: %w", err)
		}
	}
	if refusal != nil {
		return w.refuse(fmt.Errorf("batch after its chain: %w", refusal)), nil
	}
	return out, nil
}

// checkReplaced checks the records that the chain changed as those of a client
// are checked. One that fails is rejected: the chain made it, so its topic's
// owner has to mend the chain.
func (w *work) checkReplaced() {
	lim := &w.chain.options.Limits
	for i := range w.slots {
		s := &w.slots[i]
		if s.state != live || !s.replaced {
			continue
		}
		switch {
		case lim.RequireKey && s.Key == nil:
			w.failures.add(int(s.Index), record.ErrInvalidRecord, "after the chain: null key in a compacted topic")
		case lim.CheckTimestamps && s.Timestamp != record.NoTimestamp && w.outside(s.Timestamp):
			w.failures.add(int(s.Index), record.ErrInvalidTimestamp, fmt.Sprintf(
				"after the chain: timestamp %d is more than %d ms before or %d ms after the broker's clock %d",
				s.Timestamp, lim.TimestampBeforeMax, lim.TimestampAfterMax, w.in.AppendTime))
		}
	}
}

// outside says whether a timestamp lies outside the topic's window. Differences
// are exact as unsigned numbers.
func (w *work) outside(timestamp int64) bool {
	lim, now := &w.chain.options.Limits, w.in.AppendTime
	if timestamp < now {
		return uint64(now)-uint64(timestamp) > uint64(max(lim.TimestampBeforeMax, 0))
	}
	return uint64(timestamp)-uint64(now) > uint64(max(lim.TimestampAfterMax, 0))
}

// rebuild makes the batch of the records that are left.
func (w *work) rebuild() (batch []byte, refusal, err error) {
	h := &w.in.Header
	w.builder.Reset(record.Params{
		Codec: w.in.Codec, Level: w.in.Level,
		BaseOffset: h.BaseOffset, LeaderEpoch: h.LeaderEpoch, BaseTimestamp: h.BaseTimestamp,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence,
		Transactional: h.IsTransactional(),
	})
	lim := &w.chain.options.Limits
	most := lim.MaxDecompressedBytes
	if most <= 0 {
		most = record.DefaultMaxDecompressedBytes
	}
	for i := range w.slots {
		s := &w.slots[i]
		if s.state != live {
			continue
		}
		if err := w.builder.Append(&record.Record{
			OffsetDelta: int32(s.Index), TimestampDelta: s.Timestamp - h.BaseTimestamp, Attributes: s.attributes,
			Key: s.Key, Value: s.Value, Headers: s.Headers,
		}); err != nil {
			return nil, err, nil
		}
		if size := w.builder.Size() - record.HeaderSize; size > most {
			return nil, fmt.Errorf("%w: more than %d bytes of records", record.ErrTooLarge, most), nil
		}
	}
	batch, err = w.builder.Finish(-1)
	switch {
	case errors.Is(err, record.ErrTooLarge):
		return nil, err, nil
	case err != nil:
		return nil, nil, err
	}
	if lim.MaxBatchBytes > 0 && len(batch) > lim.MaxBatchBytes {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", record.ErrTooLarge, len(batch), lim.MaxBatchBytes), nil
	}
	return batch, nil, nil
}

// emissionBytes is about what an emission takes beside its names and parts.
const emissionBytes = 40

// emissions makes the dead letters of the batch, with all their bytes in one
// buffer of their own. The error is a refusal.
func (w *work) emissions() ([]Emission, error) {
	letters := w.failures.letters
	if len(letters) == 0 {
		return nil, nil
	}
	slices.SortFunc(letters, func(a, b letter) int { return cmp.Compare(a.slot, b.slot) })
	var keep copier
	names := 0
	for i := range letters {
		l := &letters[i]
		keep.room(w.asDeadLetter(&w.slots[l.slot]), w.carries(l))
		names += len(l.message) + len(w.chain.dlq[l.stage]) + len(w.chain.stages[l.stage].Name) + emissionBytes
	}
	if n, most := int64(keep.bytes+names), w.chain.options.MaxEmissionBytes+int64(len(w.in.Batch)); n > most {
		return nil, fmt.Errorf("%w: %d bytes of dead letters, limit %d", record.ErrTooLarge, n, most)
	}
	keep.alloc()
	out := make([]Emission, len(letters))
	for i := range letters {
		l := &letters[i]
		r := w.asDeadLetter(&w.slots[l.slot])
		e := &out[i]
		*e = Emission{
			Index: int32(r.Index), Topic: w.chain.dlq[l.stage], Stage: w.chain.stages[l.stage].Name,
			Code: uint16(l.code), Message: l.message, Timestamp: r.Timestamp, Payload: w.carries(l),
		}
		if e.Payload {
			e.Key, e.Value = keep.copy(r.Key), keep.copy(r.Value)
		}
		e.Headers = keep.copyHeaders(r.Headers, e.Payload)
	}
	return out, nil
}
