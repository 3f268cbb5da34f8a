package partition

import (
	"bytes"
	"testing"

	"github.com/varvelog/varve/internal/record"
)

// TestNoChainIdenticalBytes: without a chain a batch is stored and read as the
// client sent it, whatever its codec; only base offset and leader epoch, which lie
// outside of the CRC, are the broker's (W1). So is one that a chain let through
// untouched.
func TestNoChainIdenticalBytes(t *testing.T) {
	h := newHarness(t)
	var sent [][]byte
	for _, chained := range []bool{false, true} {
		if chained {
			h.p.SetChain(1, &script{})
		}
		for _, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
			b := record.NewBuilder(record.DefaultParams(codec, 1000))
			for i := range 20 {
				r := record.Record{OffsetDelta: int32(i), Key: []byte("key"), Value: []byte("keep"), Headers: []record.RecordHeader{{Key: []byte("h")}, {Key: []byte("h"), Value: []byte{}}}}
				if err := b.Append(&r); err != nil {
					t.Fatal(err)
				}
			}
			batch, err := b.Finish(-1)
			if err != nil {
				t.Fatal(err)
			}
			header, err := record.ParseHeader(batch)
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, bytes.Clone(batch))
			o := &outcome{}
			a := &Append{Batch: batch, Time: 1000, Header: header, Done: func(*Append) { o.answers++ }}
			if chained {
				a.Generation = 1
			}
			o.Append = a
			h.p.Produce(a)
			h.all()
			o.is(t, h.end()-20, false, nil)
		}
	}
	read := func(when string) {
		c, err := h.p.Read(0, h.end(), 1<<20, true)
		if err != nil || c.Batches != len(sent) {
			t.Fatalf("%s: %d batches, %v", when, c.Batches, err)
		}
		stored := bytes.Join(c.Buffers, nil)
		for i, want := range sent {
			got := stored[:len(want)]
			stored = stored[len(want):]
			if !bytes.Equal(got[8:12], want[8:12]) || !bytes.Equal(got[16:], want[16:]) {
				t.Fatalf("%s: batch %d is\n%x\nsent was\n%x", when, i, got, want)
			}
		}
		if len(stored) > 0 {
			t.Fatalf("%s: %d bytes more", when, len(stored))
		}
	}
	read("from the tail cache")
	h.same()
	h.crash(nil, h.log) // by the checkpoint
	h.lead()
	read("from the segment")
}
