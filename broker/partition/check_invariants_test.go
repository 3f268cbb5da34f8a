package partition

import "testing"

// Each way in which the applied state can contradict itself is seen.
func TestInconsistentStateIsSeen(t *testing.T) {
	for name, spoil := range map[string]func(p *Partition){
		"nothing":           func(*Partition) {},
		"position":          func(p *Partition) { p.outbox.items[1].Position++ },
		"next":              func(p *Partition) { p.outbox.next++ },
		"bytes":             func(p *Partition) { p.outbox.bytes-- },
		"emission beyond":   func(p *Partition) { p.outbox.items[0].Base = p.log.End() },
		"producer beyond":   func(p *Partition) { p.producers.byID[7].batches[0].end = p.log.End() },
		"producer backward": func(p *Partition) { b := &p.producers.byID[7].batches[0]; b.base = b.end + 1 },
		"producer empty":    func(p *Partition) { p.producers.byID[7].count = 0 },
		"queued":            func(p *Partition) { p.queued = -1 },
	} {
		h := newHarness(t)
		h.produce(spec{id: 7, n: 3})
		h.apply(-1)
		p := h.p
		p.outbox.add(0, 5, [][]byte{[]byte("one"), []byte("two")})
		if spoil(p); (p.consistent() != nil) != (name != "nothing") {
			t.Errorf("%s: %v", name, p.consistent())
		}
	}
}
