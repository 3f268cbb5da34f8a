package partition

import (
	"encoding/binary"
	"fmt"
	"maps"
	"sort"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// Delivery brings one batch out of another partition's outbox into this one.
type Delivery struct {
	Origin      ident.Partition
	First, Last uint64 // outbox positions that the batch holds
	Batch       []byte // one record batch
	// AsOf is the version of the cluster metadata by which the origin exists.
	AsOf uint64
	// Done is called once, on the owner, and must not block. Without an error
	// everything of the origin up to and including seen is in the log here:
	// what the batch would have brought again was not appended.
	Done func(seen uint64, err error)
}

// origins says which outbox position of each origin was delivered here last.
type origins map[ident.Partition]uint64

const originBytes = 16 + 4 + 8

// imageOrigin stands for the highest version of the cluster metadata among the
// origins in a state.
var imageOrigin ident.Partition

// Lengths of the headers; the last field is the version of the cluster metadata.
const (
	emittedHeader = 16 + 4 + 8 + 8 + 8
	forgetHeader  = 16 + 8
)

// Deliver takes a batch from another partition's outbox. now is in ms. It skips
// the topic's chain, and it is not refused for want of space that clients could
// not use. It is refused with ErrNotLeader while the broker's metadata is older
// than what an earlier leader knew: that one may have forgotten the origin since.
func (p *Partition) Deliver(d *Delivery, now int64) {
	if err := p.judging(d.AsOf); err != nil {
		d.Done(0, err)
		return
	}
	if seen, ok := p.origins[d.Origin]; ok && seen >= d.First && !mutant.On(mutant.LettersTwice) {
		d.Done(seen, nil)
		return
	}
	b, h, body := entry.New(entry.Emitted, now, emittedHeader, len(d.Batch))
	copy(h, d.Origin.Topic[:])
	le := binary.LittleEndian
	le.PutUint32(h[16:], uint32(d.Origin.Index))
	le.PutUint64(h[20:], d.First)
	le.PutUint64(h[28:], d.Last)
	le.PutUint64(h[36:], d.AsOf)
	copy(body, d.Batch)
	entry.Seal(b)
	if err := p.c.Log.Propose(b, d, false); err != nil {
		d.Done(0, proposeError(err))
	}
}

// applyEmitted appends a delivered batch, unless any of it was delivered before.
func (p *Partition) applyEmitted(e replog.Entry, d entry.Entry) error {
	if len(d.Header) != emittedHeader || ident.TopicID(d.Header[:16]) == imageOrigin.Topic {
		return errState
	}
	var from ident.Partition
	copy(from.Topic[:], d.Header)
	le := binary.LittleEndian
	from.Index = int32(le.Uint32(d.Header[16:]))
	first, last := le.Uint64(d.Header[20:]), le.Uint64(d.Header[28:])
	h, err := record.ParseHeader(d.Payload)
	if err != nil || first > last {
		return fmt.Errorf("emitted batch: %w", errState)
	}
	seen, known := p.origins[from]
	if !known || seen < first || mutant.On(mutant.LettersTwice) {
		if err := p.appendBatch(p.log.End(), ident.Epoch(e.Term), h, d.Payload); err != nil {
			return err
		}
		p.origins[from] = last
		seen = last
	}
	p.asOf = max(p.asOf, le.Uint64(d.Header[36:]))
	if t, ok := e.Token.(*Delivery); ok {
		t.Done(seen, nil)
	}
	p.wake()
	return nil
}

// Trim tells that everything in the outbox below position was delivered. now is
// in ms.
func (p *Partition) Trim(position uint64, now int64) {
	p.propose(&p.trimming, tokenTrim, entry.OutboxTrim, now, binary.LittleEndian.AppendUint64(nil, position), nil)
}

// ForgetOrigins makes the partition forget the outboxes of topics that exist no
// more, which deliver nothing any more. now is in ms. What cannot be proposed
// now is left for the next call. asOf is the version of the cluster metadata that
// exists speaks of: an older one than an earlier leader knew may lack a topic that
// has delivered already, and judges nothing.
func (p *Partition) ForgetOrigins(exists func(ident.TopicID) bool, asOf uint64, now int64) {
	if p.judging(asOf) != nil {
		return
	}
	for _, o := range p.origins.sorted() {
		if p.forgetting[o.Topic] || exists(o.Topic) {
			continue
		}
		if err := p.c.Log.Propose(NewForget(o.Topic, asOf, now), forgetToken(o.Topic), true); err != nil {
			return
		}
		p.forgetting[o.Topic] = true
	}
}

// NewForget returns the entry that makes a partition forget the outboxes of a
// topic, by a version of the cluster metadata; 0 is older than all. now is in ms.
func NewForget(topic ident.TopicID, asOf uint64, now int64) []byte {
	return entry.Build(entry.ForgetOrigin, now, binary.LittleEndian.AppendUint64(topic[:], asOf), nil)
}

func (p *Partition) applyTrim(d entry.Entry) error {
	if len(d.Header) != 8 || len(d.Payload) != 0 {
		return errState
	}
	p.outbox.trim(binary.LittleEndian.Uint64(d.Header))
	return nil
}

func (p *Partition) applyForget(d entry.Entry) error {
	if len(d.Header) != forgetHeader || len(d.Payload) != 0 {
		return errState
	}
	for o := range p.origins { // order: deletions only
		if o.Topic == ident.TopicID(d.Header[:16]) {
			delete(p.origins, o)
		}
	}
	p.asOf = max(p.asOf, binary.LittleEndian.Uint64(d.Header[16:]))
	return nil
}

// judging returns why the replica cannot tell which origins exist, or nil: it must
// serve, and know of the cluster metadata what earlier leaders knew.
func (p *Partition) judging(asOf uint64) error {
	if err := p.serving(); err != nil {
		return err
	}
	if asOf < p.asOf && !mutant.On(mutant.OldImageJudges) {
		return ErrNotLeader
	}
	return nil
}

// remembered returns the origins as they stand in a state.
func (p *Partition) remembered() origins {
	if p.asOf == 0 {
		return p.origins
	}
	o := maps.Clone(p.origins)
	o[imageOrigin] = p.asOf
	return o
}

func (o origins) sorted() []ident.Partition {
	keys := make([]ident.Partition, 0, len(o))
	for k := range o { // order: sorted below
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if c := string(keys[i].Topic[:]); c != string(keys[j].Topic[:]) {
			return c < string(keys[j].Topic[:])
		}
		return keys[i].Index < keys[j].Index
	})
	return keys
}

func (o origins) appendTo(b []byte) []byte {
	keys := o.sorted()
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(o)))
	for _, k := range keys {
		b = append(b, k.Topic[:]...)
		b = le.AppendUint32(b, uint32(k.Index))
		b = le.AppendUint64(b, o[k])
	}
	return b
}

func decodeOrigins(b []byte) (origins, []byte, error) {
	o := origins{}
	le := binary.LittleEndian
	if len(b) < 4 {
		return o, nil, errState
	}
	n := int(le.Uint32(b))
	b = b[4:]
	if n > len(b)/originBytes {
		return o, nil, errState
	}
	for range n {
		k := ident.Partition{Topic: ident.TopicID(b[:16]), Index: int32(le.Uint32(b[16:]))}
		if _, ok := o[k]; ok {
			return o, nil, errState
		}
		o[k] = le.Uint64(b[20:])
		b = b[originBytes:]
	}
	return o, b, nil
}
