package node

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// An answer to a request of an earlier life says nothing of another outbox that
// asked with the same number.
func TestDeliveredAnswersOfAnEarlierLife(t *testing.T) {
	n, _, err := Open(testConfig(vfs.NewMem(vfs.MemOptions{})), time.UnixMilli(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	asked, other := ident.Partition{Topic: ident.TopicID{1}}, ident.Partition{Topic: ident.TopicID{2}}
	d := &delivery{r: &Replica{}, busy: true, request: 1}
	n.outboxes[asked] = d
	stale := appendInts(appendPartition([]byte{frameDelivered}, other), 1, 100, 0)
	if err := n.Receive(2, stale); err != nil {
		t.Fatal(err)
	}
	if d.delivered != 0 || !d.busy {
		t.Fatalf("taken for the answer: %+v", d)
	}
	if err := n.Receive(2, appendInts(appendPartition([]byte{frameDelivered}, asked), 1, 100, 0)); err != nil {
		t.Fatal(err)
	}
	if d.delivered != 101 || d.busy {
		t.Fatalf("the answer was not taken: %+v", d)
	}
}

// A replica of which copying takes longer than a leader waits for a snapshot
// catches up nevertheless, while the others go on.
func TestLongCopyEnds(t *testing.T) {
	c := newCluster(t, 3, 1, 2000)
	id := ident.Partition{Topic: c.topic(1, 1, 3)}
	c.until("a leader", 300, func() bool { return c.leader(id) != nil })
	down := -1
	for i, n := range c.nodes {
		if !n.Replica(id).Partition.Leads() && !n.Controller() {
			down = i
		}
	}
	c.crash(down)
	acked := 0
	value := string(bytes.Repeat([]byte("x"), 20_000))
	c.until("a log of several pieces", 3000, func() bool {
		c.produce(id, strconv.Itoa(acked)+value, func(ident.Offset) { acked++ })
		return acked > 400
	})
	// One piece in 3 s.
	step, last := 0, 0
	c.lose = func(f wireFrame) bool {
		if f.b[0] != framePiece {
			return false
		}
		if step-last < 30 {
			return true
		}
		last = step
		return false
	}
	c.open(down)
	for range 1500 {
		step++
		c.produce(id, strconv.Itoa(step)+value[:500], func(ident.Offset) {})
		c.step()
		p, r := c.leader(id), c.nodes[down].Replica(id)
		if p == nil || r == nil {
			continue
		}
		_, end := p.Bounds()
		if _, at := r.Partition.Bounds(); at >= end-5 {
			if r.Partition.Incarnation() != 1 {
				t.Fatalf("copied %d times", r.Partition.Incarnation())
			}
			return
		}
	}
	t.Fatalf("it does not catch up: incarnation %d", c.nodes[down].Replica(id).Partition.Incarnation())
}
