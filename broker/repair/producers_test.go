package repair

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// send sends a batch of an idempotent producer.
func (l *life) send(p ident.Partition, sequence int32) *partition.Append {
	l.t.Helper()
	params := record.DefaultParams(record.None, 1000)
	params.ProducerID, params.BaseSequence = 7, sequence
	b := record.NewBuilder(params)
	l.must(b.Append(&record.Record{Value: make([]byte, 700)}))
	out, err := b.Finish(0)
	l.must(err)
	h, err := record.ParseHeader(out)
	l.must(err)
	a := &partition.Append{Entry: partition.NewEntry(out, int64(sequence)+1, 0, nil), Header: h, Done: func(*partition.Append) {}}
	l.n.Replica(p).Partition.Produce(a)
	l.drive()
	return a
}

// TestRetryOfALostBatch: also if the repair is cut short when it has written the
// segments again, a producer that never got the answer for a batch which a
// repair gave up is not told that it is there when it sends it again. The batches
// behind it, in the log and in what is left of it, stand.
func TestRetryOfALostBatch(t *testing.T) {
	for name, cutShort := range map[string]bool{"at once": false, "cut short": true} {
		t.Run(name, func(t *testing.T) { retryOfALostBatch(t, cutShort) })
	}
}

func retryOfALostBatch(t *testing.T, cutShort bool) {
	l, _ := longHistory(t)
	l.must(l.open())
	p := l.parts[0]
	lost := l.send(p, 0)
	kept := l.send(p, 1)
	l.checkpoint()
	behind := l.send(p, 2) // only in the log: it is applied again
	l.n.Close()
	_, s := l.segments(p)
	for i := range s { // the one that the lost batch is in
		if last := i == len(s)-1; s[i].base <= lost.Base && (last || lost.Base < s[i+1].base) {
			check, err := scanOpen(l.fs, s[i], s[i].size, -1, last)
			l.must(err)
			for _, b := range check.batches {
				if ident.Offset(b.header.BaseOffset) == lost.Base {
					wipe(t, l.fs, s[i].name, b.pos+record.HeaderSize, 40)
				}
			}
		}
	}
	r, err := Inspect(l.fs, options(3))
	l.must(err)
	pr := r.Partition(p.Topic.Hex(), p.Index)
	if pr == nil || len(pr.Holes) != 1 || ident.Offset(pr.Holes[0].First) != lost.Base || pr.Lost != nil {
		t.Fatalf("batch at %d: %+v", lost.Base, pr)
	}
	if cutShort {
		q, err := newQuarantine(l.fs)
		l.must(err)
		l.must(q.fill(r, r.plan))
		l.must(q.begin())
		for i := range r.plan.rewrites {
			l.must(r.plan.rewrites[i].do(l.fs))
		}
		r, err = Inspect(l.fs, options(5))
		l.must(err)
	}
	l.must(Repair(l.fs, options(4), r))
	if after, err := Inspect(l.fs, options(6)); err != nil || after.Needed || len(after.plan.unfinished) != 0 {
		t.Errorf("after the repair: %+v, %v", after, err)
	}
	l.must(l.open())
	if a := l.send(p, 0); !errors.Is(a.Err, partition.ErrOutOfOrder) {
		t.Errorf("a retry of the lost batch: offset %d, duplicate %v, %v", a.Base, a.Duplicate, a.Err)
	}
	for i, old := range []*partition.Append{kept, behind} {
		if a := l.send(p, int32(i+1)); a.Err != nil || !a.Duplicate || a.Base != old.Base {
			t.Errorf("a retry of batch %d: offset %d, duplicate %v, %v", i+1, a.Base, a.Duplicate, a.Err)
		}
	}
	if a := l.send(p, 3); a.Err != nil || a.Base != behind.Base+1 {
		t.Errorf("the next batch: offset %d, %v", a.Base, a.Err)
	}
}
