package kafka

import (
	"errors"

	"github.com/varvelog/varve/internal/record"
)

// encode writes the response once all outcomes are known.
func (p *produceCall) encode() []byte {
	version := p.c.Version
	flexible := version >= 9
	b := make([]byte, 0, p.responseBytes())
	b = appendCount(b, flexible, len(p.topics))
	parts := p.parts
	for i := range p.topics {
		t := &p.topics[i]
		if version >= 13 {
			b = append(b, t.id[:]...)
		} else {
			b = appendString(b, flexible, t.name)
		}
		b = appendCount(b, flexible, t.parts)
		for j := range parts[:t.parts] {
			b = p.h.appendProduced(b, version, flexible, &parts[j])
		}
		parts = parts[t.parts:]
		b = appendNoTags(b, flexible)
	}
	b = appendInt32(b, 0) // throttle time
	return appendNoTags(b, flexible)
}

// responseBytes is about what the response needs if nothing failed.
func (p *produceCall) responseBytes() int {
	n := 16 + 40*len(p.parts)
	for i := range p.topics {
		n += 24 + len(p.topics[i].name)
	}
	return n
}

// appendProduced writes one partition's outcome.
func (h *Handlers) appendProduced(b []byte, version int16, flexible bool, part *producePart) []byte {
	err := part.outcome()
	base, appendTime, logStart := int64(-1), int64(-1), int64(-1)
	if a := part.append; a != nil && err == nil {
		base, logStart = int64(a.Base), int64(a.LogStart)
		if !a.Duplicate { // then the time of the first append counts, which is not known
			appendTime = part.appendTime
		}
	}
	b = appendInt32(b, part.index)
	b = appendInt16(b, h.code(err))
	b = appendInt64(b, base)
	b = appendInt64(b, appendTime)
	if version >= 5 {
		b = appendInt64(b, logStart)
	}
	if version >= 8 {
		b = appendRecordErrors(b, flexible, err)
		b = appendNullableString(b, flexible, errorText(err))
	}
	return appendNoTags(b, flexible)
}

// appendRecordErrors lists the records at fault, in the order of the batch:
// librdkafka walks the list in step with it.
func appendRecordErrors(b []byte, flexible bool, err error) []byte {
	failed, ok := errors.AsType[*record.RecordsError](err)
	if !ok {
		return appendCount(b, flexible, 0)
	}
	b = appendCount(b, flexible, len(failed.RecordErrors))
	for i := range failed.RecordErrors {
		e := &failed.RecordErrors[i]
		b = appendInt32(b, int32(e.Index))
		b = appendString(b, flexible, e.Message)
		b = appendNoTags(b, flexible)
	}
	return b
}
