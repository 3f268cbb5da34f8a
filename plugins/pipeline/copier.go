package pipeline

import (
	"strings"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm/abi"
)

// carries says whether a dead letter carries its record.
func (w *work) carries(l *letter) bool {
	return w.chain.stages[l.stage].Spec.DeadLetter.Payload == plugins.PayloadFull
}

// A copier copies records into two allocations: room for all of them is counted
// first. Of a record without payload only the headers of an earlier dead letter
// are copied.
type copier struct {
	bytes, headers int
	buf            []byte
	hs             []record.RecordHeader
}

func (c *copier) room(r *abi.Record, payload bool) {
	if payload {
		c.bytes += len(r.Key) + len(r.Value)
	}
	for i := range r.Headers {
		if payload || isDeadLetterHeader(&r.Headers[i]) {
			c.headers++
			c.bytes += len(r.Headers[i].Key) + len(r.Headers[i].Value)
		}
	}
}

func (c *copier) alloc() {
	c.buf, c.hs = make([]byte, 0, c.bytes), make([]record.RecordHeader, 0, c.headers)
}

// copy copies b; nil stays nil, and nothing else becomes it.
func (c *copier) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(c.buf)
	c.buf = append(c.buf, b...)
	return c.buf[from:len(c.buf):len(c.buf)]
}

func (c *copier) copyHeaders(hs []record.RecordHeader, payload bool) []record.RecordHeader {
	from := len(c.hs)
	for i := range hs {
		if payload || isDeadLetterHeader(&hs[i]) {
			c.hs = append(c.hs, record.RecordHeader{Key: c.copy(hs[i].Key), Value: c.copy(hs[i].Value)})
		}
	}
	if len(c.hs) == from {
		return nil
	}
	return c.hs[from:len(c.hs):len(c.hs)]
}

func isDeadLetterHeader(h *record.RecordHeader) bool {
	return strings.HasPrefix(string(h.Key), plugins.DeadLetterHeaders)
}
