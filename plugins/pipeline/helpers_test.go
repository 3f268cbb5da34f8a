package pipeline

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

const (
	testTopic  = "orders"
	appendTime = 1_800_000_000_000
	baseTime   = 1_700_000_000_000
)

// clientBatch builds a batch as a client sends it, and checks that it is one.
func clientBatch(t testing.TB, codec record.Codec, transactional bool, records []record.Record) Input {
	t.Helper()
	p := record.DefaultParams(codec, baseTime)
	p.ProducerID, p.ProducerEpoch, p.BaseSequence, p.Transactional = 4711, 3, 1000, transactional
	b := record.NewBuilder(p)
	for i := range records {
		records[i].OffsetDelta = int32(i)
		if err := b.Append(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := record.Validate(batch, record.Limits{AllowTransactional: true})
	if err != nil {
		t.Fatal(err)
	}
	return Input{Batch: batch, Header: info.Header, Partition: 7, AppendTime: appendTime, Seed: 99, Generation: 5, Codec: codec}
}

// numbered returns n records with key "k<i>", value "v<i>" and one header.
func numbered(n int) []record.Record {
	rs := make([]record.Record, n)
	for i := range rs {
		rs[i] = record.Record{
			TimestampDelta: int64(i), Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i),
			Headers: []record.RecordHeader{{Key: []byte("h"), Value: fmt.Appendf(nil, "%d", i)}},
		}
	}
	return rs
}

// text renders a record with all it has.
func text(r *record.Record) string {
	s := fmt.Sprintf("%d @%d %d %s %s", r.OffsetDelta, r.TimestampDelta, r.Attributes, part(r.Key), part(r.Value))
	for _, h := range r.Headers {
		s += fmt.Sprintf(" %s=%s", part(h.Key), part(h.Value))
	}
	return s
}

func part(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 40:
		return fmt.Sprintf("%q..%d", b[:40], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// stored decodes a batch with ForEach, and with kmsg, which shares no code with
// package record, and returns its records as text.
func stored(t testing.TB, b []byte) (header kmsg.RecordBatch, records []string) {
	t.Helper()
	if !record.VerifyCRC(b) {
		t.Fatal("bad checksum")
	}
	if err := record.ForEach(b, 0, func(r *record.Record) error {
		records = append(records, text(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := header.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	plain, err := record.Decompress(record.Codec(header.Attributes&7), header.Records, 0)
	if err != nil {
		t.Fatal(err)
	}
	var oracle []string
	for len(plain) > 0 {
		n, size := varint(plain)
		var r kmsg.Record
		if err := r.ReadFrom(plain[:int(n)+size]); err != nil {
			t.Fatal(err)
		}
		plain = plain[int(n)+size:]
		hs := make([]record.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			hs[i] = record.RecordHeader{Key: []byte(h.Key), Value: h.Value}
		}
		oracle = append(oracle, text(&record.Record{OffsetDelta: r.OffsetDelta, TimestampDelta: r.TimestampDelta64,
			Attributes: r.Attributes, Key: r.Key, Value: r.Value, Headers: hs}))
	}
	if fmt.Sprint(records) != fmt.Sprint(oracle) || int(header.NumRecords) != len(records) {
		t.Fatalf("%d records\n%v\nkmsg\n%v", header.NumRecords, records, oracle)
	}
	return header, records
}

func varint(b []byte) (v int64, n int) {
	u := uint64(0)
	for n < len(b) {
		u |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1] < 0x80 {
			break
		}
	}
	return int64(u>>1) ^ -int64(u&1), n
}

// checkOutput checks what holds for every Output (W3), and what a stored batch
// must be.
func checkOutput(t testing.TB, in *Input, out *Output) {
	t.Helper()
	n := int(in.Header.Count)
	if sum := out.Kept + out.Replaced + out.Dropped + out.DeadLettered + out.Rejected; sum != n {
		t.Fatalf("%d of %d records accounted for: %+v", sum, n, out)
	}
	if out.Refusal != nil {
		if out.Rejected != n || out.Batch != nil || out.Emissions != nil || out.Unchanged {
			t.Fatalf("a refusal with an effect: %+v", out)
		}
		return
	}
	if out.Rejected != 0 || out.DeadLettered != len(out.Emissions) {
		t.Fatalf("%d emissions: %+v", len(out.Emissions), out)
	}
	if out.Unchanged != (out.Kept == n) || out.Unchanged && &out.Batch[0] != &in.Batch[0] {
		t.Fatalf("unchanged %v with %d of %d kept", out.Unchanged, out.Kept, n)
	}
	if out.Kept+out.Replaced == 0 {
		if out.Batch != nil {
			t.Fatal("a batch without records")
		}
		return
	}
	h, records := stored(t, out.Batch)
	if len(records) != out.Kept+out.Replaced {
		t.Fatalf("%d records stored, %+v", len(records), out)
	}
	var last int
	fmt.Sscanf(records[len(records)-1], "%d", &last)
	if int(h.LastOffsetDelta) != last || h.FirstTimestamp != in.Header.BaseTimestamp || h.ProducerID != in.Header.ProducerID ||
		h.ProducerEpoch != in.Header.ProducerEpoch || h.FirstSequence != in.Header.BaseSequence ||
		h.Attributes&^7 != in.Header.Attributes&^7 {
		t.Fatalf("header %+v for %+v", h, in.Header)
	}
	if !out.Unchanged && record.Codec(h.Attributes&7) != in.Codec {
		t.Fatalf("codec %d, want %v", h.Attributes&7, in.Codec)
	}
}

// run runs a chain and checks what always holds.
func run(t testing.TB, c *Chain, in Input) Output {
	t.Helper()
	before := bytes.Clone(in.Batch)
	out, err := c.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, in.Batch) {
		t.Fatal("the client's batch was changed")
	}
	checkOutput(t, &in, &out)
	return out
}
