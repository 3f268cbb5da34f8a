package partition

import (
	"encoding/binary"

	"github.com/varvelog/varve/internal/ident"
)

// Emission is something that a chain emitted with a batch, applied and not yet
// delivered.
type Emission struct {
	// Position counts emissions of the partition; with the origin it names this
	// one for ever.
	Position uint64
	// Base is the offset of the batch that it was emitted with.
	Base ident.Offset
	// Time is the leader's clock when that batch was appended, in ms.
	Time int64
	// Data is the emission, encoded (docs/format/emission.md), immutable.
	Data []byte
}

// outboxItemBytes is what an emission costs beside its data.
const outboxItemBytes = 8 + 8 + 8 + 4

// outbox is a partition's emissions that are not yet delivered, in order. It is
// applied state (D5).
type outbox struct {
	next  uint64 // position of the next emission
	items []Emission
	bytes int64
}

func (o *outbox) add(base ident.Offset, time int64, emissions [][]byte) {
	for _, e := range emissions {
		// A copy: it may wait for long, and must not hold the whole entry.
		o.items = append(o.items, Emission{Position: o.next, Base: base, Time: time, Data: append([]byte(nil), e...)})
		o.next++
		o.bytes += int64(len(e)) + outboxItemBytes
	}
}

// trim forgets what was delivered: all below position.
func (o *outbox) trim(position uint64) {
	n := 0
	for n < len(o.items) && o.items[n].Position < position {
		o.bytes -= int64(len(o.items[n].Data)) + outboxItemBytes
		n++
	}
	o.items = append([]Emission(nil), o.items[n:]...)
}

func (o *outbox) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, o.next)
	b = le.AppendUint32(b, uint32(len(o.items)))
	for _, e := range o.items {
		b = le.AppendUint64(b, e.Position)
		b = le.AppendUint64(b, uint64(e.Base))
		b = le.AppendUint64(b, uint64(e.Time))
		b = le.AppendUint32(b, uint32(len(e.Data)))
		b = append(b, e.Data...)
	}
	return b
}

func decodeOutbox(b []byte) (outbox, []byte, error) {
	var o outbox
	le := binary.LittleEndian
	if len(b) < 12 {
		return o, nil, errState
	}
	o.next = le.Uint64(b)
	n := int(le.Uint32(b[8:]))
	b = b[12:]
	if n > len(b)/outboxItemBytes {
		return o, nil, errState
	}
	for i := range n {
		if len(b) < outboxItemBytes {
			return o, nil, errState
		}
		e := Emission{Position: le.Uint64(b), Base: ident.Offset(le.Uint64(b[8:])), Time: int64(le.Uint64(b[16:]))}
		k := int64(le.Uint32(b[24:]))
		b = b[outboxItemBytes:]
		if k > int64(len(b)) || e.Position >= o.next || i > 0 && e.Position != o.items[i-1].Position+1 {
			return o, nil, errState
		}
		e.Data, b = append([]byte(nil), b[:k]...), b[k:]
		o.items = append(o.items, e)
		o.bytes += k + outboxItemBytes
	}
	if n > 0 && o.items[n-1].Position+1 != o.next {
		return o, nil, errState
	}
	return o, b, nil
}

// Outbox returns up to n emissions that wait to be delivered, the oldest first.
// The slice is valid until the next entry is applied.
func (p *Partition) Outbox(n int) []Emission { return p.outbox.items[:min(n, len(p.outbox.items))] }

// OutboxDepth returns how many emissions wait, and their bytes.
func (p *Partition) OutboxDepth() (count int, bytes int64) {
	return len(p.outbox.items), p.outbox.bytes
}
