package main

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

// Why a broker refuses single records stands in the Produce response (KIP-467),
// but the client library gives on only the code. So the answers are read a
// second time where they pass, and nothing is done about what does not parse:
// then a refusal has no reason.

const (
	produceKey          = 0
	firstFlexible       = 9  // version of Produce
	firstTopicID        = 13 // version of Produce
	firstRecordErrors   = 8  // version of Produce
	codeInvalidTime     = 32
	codeInvalidRecord   = 87
	batchCountAt        = 57 // place of the number of records in a batch
	watchedAnswerMax    = 16 << 20
	watchedRefusalsMax  = 1 << 16
	otherRecordRefused  = "not stored, as another record of its batch was refused; --one-by-one sends each alone"
	refusedWithoutWords = "refused by the broker"
)

// refusals are the reasons of refused records of one topic, in the order in
// which the client hears of the batches of a partition.
type refusals struct {
	mu      sync.Mutex
	batches map[int32][]*refusedBatch // by partition
}

type refusedBatch struct {
	left    int // records whose outcome is not yet told
	next    int // index of the next one
	all     string
	records map[int32]string // by index
}

// reason returns why the next record of a partition was refused.
func (r *refusals) reason(partition int32, code string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.batches[partition]
	if len(queue) == 0 {
		return refusedWithoutWords + " (" + code + ")"
	}
	b := queue[0]
	index := b.next
	b.next++
	if b.left--; b.left <= 0 {
		r.batches[partition] = queue[1:]
	}
	text, own := b.records[int32(index)]
	switch {
	case own && text == "":
		text = b.all
	case !own && len(b.records) > 0:
		return otherRecordRefused
	case !own:
		text = b.all
	}
	if text == "" {
		return refusedWithoutWords + " (" + code + ")"
	}
	return text + " (" + code + ")"
}

func (r *refusals) add(partition int32, b *refusedBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batches == nil {
		r.batches = map[int32][]*refusedBatch{}
	}
	if len(r.batches[partition]) < watchedRefusalsMax {
		r.batches[partition] = append(r.batches[partition], b)
	}
}

// askedProduce is what is known of a Produce request that was sent.
type askedProduce struct {
	version int16
	records map[int32]int // by partition
}

// watchedConn is a connection whose Produce requests and responses are read
// along. The client writes each request in one call.
type watchedConn struct {
	net.Conn
	refused *refusals

	mu    sync.Mutex
	asked map[int32]askedProduce // by correlation id

	// Of the answer that is being read; only Read touches them.
	head   []byte // the first 8 bytes: length, correlation id
	body   []byte
	left   int // bytes of the body to come
	answer *askedProduce
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	if id, a, err := parseProduceRequest(p); err == nil {
		c.mu.Lock()
		c.asked[id] = a
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.watch(p[:n])
	return n, err
}

func (c *watchedConn) watch(p []byte) {
	for len(p) > 0 {
		if len(c.head) < 8 {
			n := min(8-len(c.head), len(p))
			c.head, p = append(c.head, p[:n]...), p[n:]
			if len(c.head) == 8 {
				c.begin()
			}
			continue
		}
		n := min(c.left, len(p))
		if c.answer != nil {
			c.body = append(c.body, p[:n]...)
		}
		c.left, p = c.left-n, p[n:]
		c.end()
	}
}

// begin looks at the head of an answer.
func (c *watchedConn) begin() {
	c.left = max(int(int32(binary.BigEndian.Uint32(c.head)))-4, 0)
	id := int32(binary.BigEndian.Uint32(c.head[4:]))
	c.mu.Lock()
	if a, found := c.asked[id]; found {
		delete(c.asked, id)
		if c.left <= watchedAnswerMax {
			c.answer = &a
		}
	}
	c.mu.Unlock()
	c.end()
}

// end takes an answer that is whole.
func (c *watchedConn) end() {
	if c.left > 0 {
		return
	}
	if c.answer != nil {
		parseProduceResponse(c.body, *c.answer, c.refused.add)
	}
	c.head, c.body, c.answer = c.head[:0], c.body[:0], nil
}

var errNotProduce = errors.New("no Produce request")

// parseProduceRequest reads the frame of a Produce request.
func parseProduceRequest(frame []byte) (id int32, a askedProduce, err error) {
	d := &wireReader{b: frame}
	d.int32() // length
	key := d.int16()
	a.version = d.int16()
	id = d.int32()
	if d.failed || key != produceKey || a.version < 3 {
		return 0, a, errNotProduce
	}
	d.flexible = false // client.id is never compact
	d.text()
	d.flexible = a.version >= firstFlexible
	d.tags()
	d.text() // transactional.id
	acks := d.int16()
	d.int32() // timeout
	a.records = map[int32]int{}
	for range d.length() {
		d.topic(a.version)
		for range d.length() {
			partition := d.int32()
			batch := d.bytes()
			if len(batch) >= batchCountAt+4 {
				a.records[partition] = int(int32(binary.BigEndian.Uint32(batch[batchCountAt:])))
			}
			d.tags()
		}
		d.tags()
	}
	if d.failed || acks == 0 { // without acks there is no answer
		return 0, a, errNotProduce
	}
	return id, a, nil
}

// parseProduceResponse calls add for every batch of which records were refused.
func parseProduceResponse(body []byte, a askedProduce, add func(int32, *refusedBatch)) {
	d := &wireReader{b: body, flexible: a.version >= firstFlexible}
	d.tags() // of the header
	for range d.length() {
		d.topic(a.version)
		for range d.length() {
			partition, code := d.int32(), d.int16()
			d.skip(8 + 8) // base offset, log append time
			if a.version >= 5 {
				d.skip(8) // log start offset
			}
			b := &refusedBatch{left: a.records[partition], records: map[int32]string{}}
			if a.version >= firstRecordErrors {
				for range d.length() {
					index := d.int32()
					b.records[index] = d.text()
					d.tags()
				}
				b.all = d.text()
			}
			d.tags()
			if d.failed {
				return
			}
			if code == codeInvalidRecord || code == codeInvalidTime {
				add(partition, b)
			}
		}
		d.tags()
	}
}
