package kafka

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

// Observer is told what requests came to, for metrics. Its methods are called by
// any goroutine and must not block.
type Observer interface {
	// Answered: a request has its answer, or needs none, d after its last byte
	// was read.
	Answered(key int16, d time.Duration)
	// Aborted: a request ends its connection instead of being answered.
	Aborted(key int16)
	// Failed: an answer carries an error code, or one of its parts does. It
	// comes before Answered.
	Failed(key, code int16)
	// Produced: a batch of a client was acknowledged. bytes are the batch's as
	// the client sent it.
	Produced(topic string, records int, bytes int64)
	// Fetched: an answer to Fetch has batches of a topic.
	Fetched(topic string, records int, bytes int64)
	// FetchRead: reading what a Fetch is answered with took d.
	FetchRead(d time.Duration)
}

// Observe makes the handlers tell o. It is called before the first request.
func (h *Handlers) Observe(o Observer) { h.observer = o }

// APIName returns an API key's name as Kafka writes it.
func APIName(key int16) string { return kmsg.NameForKey(key) }

// ErrorName returns an error code's name as Kafka writes it, such as
// NOT_LEADER_OR_FOLLOWER.
func ErrorName(code int16) string {
	if code == kerr.NotLeaderForPartition.Code { // kerr has the name from before Kafka 2.6
		return "NOT_LEADER_OR_FOLLOWER"
	}
	if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
		return e.Message
	}
	return strconv.Itoa(int(code))
}

// Reply answers with a response body, as wire.Request does. No answer refers to
// the request's own bytes, whose memory is given back here: a client that reads no
// answers must not hold it.
func (c *Call) Reply(parts ...[]byte) {
	c.Release()
	if code := leadingCode(c.Key, c.Version, parts); code != 0 {
		c.failed(code)
	}
	c.answered()
	c.Request.Reply(parts...)
}

// leadingCode returns the error code of a whole Fetch response, which is encoded
// here and not by kmsg.
func leadingCode(key, version int16, parts [][]byte) int16 {
	if key != fetchKey || version < 7 || len(parts) == 0 || len(parts[0]) < 6 {
		return 0
	}
	return int16(binary.BigEndian.Uint16(parts[0][4:])) // behind the throttle time
}

// Respond answers with a response that kmsg encodes.
func (c *Call) Respond(r kmsg.Response) {
	if c.h.observer != nil {
		errorCodes(r, c.failed)
	}
	r.SetVersion(c.Version)
	c.Reply(r.AppendTo(nil))
}

// NoReply answers without a response, as wire.Request does.
func (c *Call) NoReply() {
	c.answered()
	c.Request.NoReply()
}

// Fail ends the connection, as wire.Request does.
func (c *Call) Fail(err error) {
	if o := c.h.observer; o != nil {
		o.Aborted(c.Key)
	}
	if c.debugs() {
		c.debug("request aborted", "error", err)
	}
	c.Request.Fail(err)
}

// failed tells of one error code in the answer.
func (c *Call) failed(code int16) {
	if o := c.h.observer; o != nil && code != 0 {
		o.Failed(c.Key, code)
	}
}

// answered is called before the answer is handed over: behind that, the client
// may have it.
func (c *Call) answered() {
	d := c.h.b.Now().Sub(c.Received)
	if o := c.h.observer; o != nil {
		o.Answered(c.Key, d)
	}
	if c.debugs() {
		c.debug("request", "duration_seconds", d.Seconds())
	}
}

// debugs reports whether anybody wants lines about requests. It is asked before
// debug, whose arguments cost more than the question.
func (c *Call) debugs() bool { return c.h.log.Enabled(context.Background(), slog.LevelDebug) }

// debug writes a line about the request.
func (c *Call) debug(text string, args ...any) {
	c.h.log.Debug(text, append([]any{
		"api", APIName(c.Key), "api_version", c.Version, "client_id", c.ClientID, "correlation_id", c.CorrelationID, "conn", c.Conn,
	}, args...)...)
}

// observe tells what became of a produce request.
func (p *produceCall) observe() {
	o := p.h.observer
	parts := p.parts
	for i := range p.topics {
		t := &p.topics[i]
		for j := range parts[:t.parts] {
			part := &parts[j]
			err := part.outcome()
			switch a := part.append; {
			case err != nil:
				if p.acks != acksNone {
					p.c.failed(codeOf(err))
				}
				if p.c.debugs() { // before version 8 the client is not told the reason
					p.c.debug("produce refused", "topic", t.name, "partition", part.index, "error", err)
				}
			case o != nil && a != nil && !a.Duplicate:
				o.Produced(t.name, int(a.Header.Count), int64(a.Header.Length)+lengthOverhead)
			}
		}
		parts = parts[t.parts:]
	}
}

// lengthOverhead is what a batch's length field does not count.
const lengthOverhead = 12

// codeOf is the code of an error that somebody else logs.
func codeOf(err error) int16 {
	if k := lookupError(err); k != nil {
		return k.Code
	}
	return kerr.UnknownServerError.Code
}

// observe tells what a fetch is answered with, before fillers are put in.
func (f *fetchCall) observe(r *fetched, began time.Time) {
	o := f.h.observer
	if o == nil {
		return
	}
	o.FetchRead(f.h.b.Now().Sub(began))
	at := 0
	for i := range r.topics {
		t := &r.topics[i]
		name, records, bytes := t.name, 0, int64(0)
		for j := range t.parts {
			p := &t.parts[j]
			if asked := f.parts[at].topic; asked != nil {
				name = asked.Name
			}
			at++
			f.c.failed(p.code)
			records += countRecords(p.records)
			bytes += int64(p.bytes)
		}
		if bytes > 0 {
			o.Fetched(name, records, bytes)
		}
	}
}

// countRecords adds up the records that the headers of whole batches tell of.
// The batches lie one behind the other in pieces, cut anywhere.
func countRecords(pieces [][]byte) (n int) {
	var header [record.HeaderSize]byte
	got, skip := 0, 0 // bytes of the header, bytes to the next header
	for _, p := range pieces {
		for len(p) > 0 {
			if skip > 0 {
				k := min(skip, len(p))
				skip, p = skip-k, p[k:]
				continue
			}
			k := copy(header[got:], p)
			got, p = got+k, p[k:]
			if got < len(header) {
				continue
			}
			got = 0
			h, err := record.ParseHeader(header[:])
			if err != nil {
				return n // never served
			}
			n += int(h.Count)
			skip = int(h.Length) + lengthOverhead - record.HeaderSize
		}
	}
	return n
}
