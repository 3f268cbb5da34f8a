package record

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestValidateAcceptsEveryCodec(t *testing.T) {
	for _, codec := range allCodecs {
		for _, shape := range []struct{ n, size int }{{1, 0}, {3, 10}, {64, 1024}, {1, 300_000}, {20_000, 5}, {7, 400_000}} {
			b := clientBatch(t, codec, shape.n, shape.size)
			before := bytes.Clone(b)
			info, err := Validate(b, Limits{RequireKey: true, CheckTimestamps: true, Now: 1000, TimestampAfterMax: 20_000})
			if err != nil {
				t.Fatalf("%v %+v: %v", codec, shape, err)
			}
			if !bytes.Equal(b, before) {
				t.Fatalf("%v: batch changed", codec)
			}
			size := int64(len(oracleRecords(plainRecords(shape.n, shape.size))))
			if info.MaxTimestamp != int64(999+shape.n) || info.OffsetOfMaxTimestamp != int32(shape.n-1) ||
				info.UncompressedBytes != size || info.NullKeys != 0 || info.NullValues != 0 || int(info.Header.Count) != shape.n {
				t.Fatalf("%v %+v: %+v", codec, shape, info)
			}
			var count int
			if err := ForEach(b, 0, func(*Record) error { count++; return nil }); err != nil || count != shape.n {
				t.Fatalf("%v: ForEach %d, %v", codec, count, err)
			}
		}
	}
}

func TestValidateInfo(t *testing.T) {
	records := oracleRecords([]kmsg.Record{
		{OffsetDelta: 0, TimestampDelta64: 7, Key: nil, Value: []byte("v")},
		{OffsetDelta: 1, TimestampDelta64: 9, Key: []byte{}, Value: nil},
		{OffsetDelta: 2, TimestampDelta64: 9, Key: nil, Value: nil, Attributes: -1},
		{OffsetDelta: 3, TimestampDelta64: -2000, Key: nil, Value: []byte{}},
	})
	info, err := Validate(oracleBatch(None, 4, records, nil), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if info.MaxTimestamp != 1009 || info.OffsetOfMaxTimestamp != 1 || info.NullKeys != 3 || info.NullValues != 2 {
		t.Fatalf("%+v", info)
	}
	if info.Header.MaxTimestamp != 1000 {
		t.Fatal("header")
	}
	none := oracleBatch(None, 1, oracleRecords([]kmsg.Record{{Value: []byte("v")}}), func(rb *kmsg.RecordBatch) { rb.FirstTimestamp = -1 })
	info, err = Validate(none, Limits{CheckTimestamps: true, Now: 1 << 40})
	if err != nil || info.MaxTimestamp != NoTimestamp || info.OffsetOfMaxTimestamp != -1 {
		t.Fatalf("no timestamp: %+v %v", info, err)
	}
}

func TestValidateWholeBatchErrors(t *testing.T) {
	one := oracleRecords(plainRecords(1, 5))
	two := oracleRecords(plainRecords(2, 5))
	edit := func(count int32, records []byte, f func(*kmsg.RecordBatch)) []byte {
		return oracleBatch(None, count, records, f)
	}
	attr := func(a int16) []byte { return edit(1, one, func(rb *kmsg.RecordBatch) { rb.Attributes = a }) }
	producer := func(id int64, epoch int16, seq int32, a int16) []byte {
		return edit(1, one, func(rb *kmsg.RecordBatch) {
			rb.ProducerID, rb.ProducerEpoch, rb.FirstSequence, rb.Attributes = id, epoch, seq, a
		})
	}
	magic1 := edit(1, one, nil)
	magic1[16] = 1
	for _, c := range []struct {
		name string
		b    []byte
		lim  Limits
		want error // nil: accepted
	}{
		{"good", edit(1, one, nil), Limits{}, nil},
		{"good, at its size", edit(1, one, nil), Limits{MaxBatchBytes: len(one) + 61}, nil},
		{"above its size", edit(1, one, nil), Limits{MaxBatchBytes: len(one) + 60}, ErrTooLarge},
		{"magic", magic1, Limits{}, ErrMagic},
		{"two batches", append(edit(1, one, nil), edit(1, one, nil)...), Limits{}, ErrInvalidRecord},
		{"bytes behind", append(edit(1, one, nil), 0), Limits{}, ErrInvalidRecord},
		{"length above", edit(1, one, func(rb *kmsg.RecordBatch) { rb.Length = int32(len(one) + 50) }), Limits{}, ErrTruncated},
		{"codec 5", attr(5), Limits{}, ErrCodec},
		{"codec 7", attr(7), Limits{}, ErrCodec},
		{"zstd refused", clientBatch(t, Zstd, 1, 1), Limits{RefuseZstd: true}, ErrCodec},
		{"control", attr(1 << 5), Limits{AllowTransactional: true}, ErrInvalidRecord},
		{"delete horizon", attr(1 << 6), Limits{}, ErrInvalidRecord},
		{"unused bits", attr(-128), Limits{}, nil},
		{"log append time", attr(1 << 3), Limits{}, ErrInvalidTimestamp},
		{"transactional", producer(1, 0, 0, 1<<4), Limits{}, ErrTransactional},
		{"transactional allowed", producer(1, 0, 0, 1<<4), Limits{AllowTransactional: true}, nil},
		{"transactional without id", producer(-1, -1, -1, 1<<4), Limits{AllowTransactional: true}, ErrInvalidRecord},
		{"idempotent", producer(0, 0, 0, 0), Limits{}, nil},
		{"producer id -2", producer(-2, 0, 0, 0), Limits{}, ErrInvalidRecord},
		{"epoch -1", producer(5, -1, 0, 0), Limits{}, ErrInvalidRecord},
		{"sequence -1", producer(5, 0, -1, 0), Limits{}, ErrInvalidRecord},
		{"no records", edit(0, nil, nil), Limits{}, ErrInvalidRecord},
		{"count 0 of 1", edit(0, one, nil), Limits{}, ErrInvalidRecord},
		{"count 2 of 1", edit(2, one, nil), Limits{}, ErrInvalidRecord},
		{"count 1 of 2", edit(1, two, nil), Limits{}, ErrInvalidRecord},
		{"count negative", edit(-5, one, nil), Limits{}, ErrInvalidRecord},
		{"count wraps", edit(math.MinInt32, one, func(rb *kmsg.RecordBatch) { rb.LastOffsetDelta = math.MaxInt32 }), Limits{}, ErrInvalidRecord},
		{"count huge", edit(math.MaxInt32, one, nil), Limits{}, ErrInvalidRecord},
		{"count huge, compressed", oracleBatch(Gzip, 1<<30, foreignCompress(t, Gzip, one), nil), Limits{}, ErrInvalidRecord},
		{"delta above count", edit(2, two, func(rb *kmsg.RecordBatch) { rb.LastOffsetDelta = 5 }), Limits{}, ErrInvalidRecord},
		{"delta below count", edit(2, two, func(rb *kmsg.RecordBatch) { rb.LastOffsetDelta = 0 }), Limits{}, ErrInvalidRecord},
	} {
		info, err := Validate(c.b, c.lim)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && info != (Info{}) {
			t.Errorf("%s: info with an error", c.name)
		}
	}
}

// badRecords are record bytes that no codec may carry as one record.
var badRecords = []struct {
	name string
	b    []byte
}{
	{"length negative", rawRecord(-1, 0, 0, 0, 1, 1, 0)},
	{"length below minimum", rawRecord(5, 0, 0, 0, 1, 1)},
	{"length 0", rawRecord(0, 0, 0, 0, 0, 0, 0)},
	{"length one less", rawRecord(6, 0, 0, 0, 1, 2, 'v', 0)},
	{"length one more", rawRecord(7, 0, 0, 0, 1, 1, 0)},
	{"length huge", rawRecord(math.MaxInt32, 0, 0, 0, 1, 1, 0)},
	{"length of 6 bytes", []byte{0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0}},
	{"length above 32 bits", []byte{0x8c, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 1, 1, 0}},
	{"timestamp of 11 bytes", rawRecord(16, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0)},
	{"timestamp above 64 bits", rawRecord(15, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0, 1, 1, 0)},
	{"key longer than record", rawRecord(6, 0, 0, 0, 20, 1, 0)},
	{"key length -2", rawRecord(6, 0, 0, 0, 3, 1, 0)},
	{"value length -2", rawRecord(6, 0, 0, 0, 1, 3, 0)},
	{"value longer than record", rawRecord(7, 0, 0, 0, 1, 4, 'v', 0)},
	{"value huge", rawRecord(10, 0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0)},
	{"header count negative", rawRecord(6, 0, 0, 0, 1, 1, 1)},
	{"header count above bytes", rawRecord(8, 0, 0, 0, 1, 1, 4, 0, 1)},
	{"header count huge", rawRecord(10, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f)},
	{"header key null", rawRecord(8, 0, 0, 0, 1, 1, 2, 1, 1)},
	{"header key null, then nothing", rawRecord(7, 0, 0, 0, 1, 1, 2, 1)},
	{"header key too long", rawRecord(8, 0, 0, 0, 1, 1, 2, 8, 1)},
	{"header value too long", rawRecord(8, 0, 0, 0, 1, 1, 2, 0, 8)},
	{"header value -2", rawRecord(8, 0, 0, 0, 1, 1, 2, 0, 3)},
	{"bytes left in record", rawRecord(7, 0, 0, 0, 1, 1, 0, 0)},
	{"bytes behind records", append(rawRecord(6, 0, 0, 0, 1, 1, 0), 0)},
	{"empty", nil},
}

func TestValidateBadFraming(t *testing.T) {
	good := rawRecord(6, 0, 0, 0, 1, 1, 0)
	for _, codec := range allCodecs {
		if _, err := Validate(oracleBatch(codec, 1, foreignCompress(t, codec, good), nil), Limits{}); err != nil {
			t.Fatalf("%v: the smallest record: %v", codec, err)
		}
		for _, c := range badRecords {
			b := oracleBatch(codec, 1, foreignCompress(t, codec, c.b), nil)
			_, err := Validate(b, Limits{})
			if !errors.Is(err, ErrInvalidRecord) || errors.Is(err, ErrCorrupt) {
				t.Errorf("%v, %s: %v", codec, c.name, err)
			}
			if err := ForEach(b, 0, func(*Record) error { return nil }); !errors.Is(err, ErrInvalidRecord) {
				t.Errorf("%v, %s: ForEach: %v", codec, c.name, err)
			}
		}
	}
}

func TestValidateTruncatedRecords(t *testing.T) {
	for _, codec := range allCodecs {
		whole := foreignCompress(t, codec, oracleRecords(plainRecords(3, 9)))
		for n := range whole {
			// The checksum is right: this is what a client sent.
			_, err := Validate(oracleBatch(codec, 3, whole[:n], nil), Limits{})
			if !errors.Is(err, ErrInvalidRecord) || errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v cut at %d: %v", codec, n, err)
			}
		}
		b := clientBatch(t, codec, 3, 9)
		for n := range b {
			if _, err := Validate(b[:n], Limits{}); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v batch cut at %d: %v", codec, n, err)
			}
		}
	}
}

func TestValidateMaxVarints(t *testing.T) {
	b := oracleBatch(None, 1, oracleRecords([]kmsg.Record{{TimestampDelta64: math.MinInt64}}), func(rb *kmsg.RecordBatch) { rb.FirstTimestamp = -1 })
	info, err := Validate(b, Limits{})
	if err != nil || info.MaxTimestamp != math.MaxInt64 { // wraps, as clients compute it
		t.Fatalf("%+v %v", info, err)
	}
	// Padded varints of full length are legal.
	padded := rawRecord(22, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
		0x80, 0x80, 0x80, 0x80, 0, 0x81, 0x80, 0x80, 0, 1, 0)
	if _, err := Validate(oracleBatch(None, 1, padded, nil), Limits{}); err != nil {
		t.Fatal(err)
	}
}

func TestValidateRecordErrors(t *testing.T) {
	records := plainRecords(6, 3)
	records[1].Key = nil
	records[2].OffsetDelta = 9
	records[4].TimestampDelta64 = 100_000
	records[5].Key, records[5].TimestampDelta64 = nil, -100_000
	lim := Limits{RequireKey: true, CheckTimestamps: true, Now: 1000, TimestampBeforeMax: 50, TimestampAfterMax: 60}
	for _, codec := range allCodecs {
		b := oracleBatch(codec, 6, foreignCompress(t, codec, oracleRecords(records)), nil)
		_, err := Validate(b, lim)
		var re *RecordsError
		if !errors.As(err, &re) || !errors.Is(err, ErrInvalidTimestamp) || re.Total != 4 {
			t.Fatalf("%v: %v", codec, err)
		}
		kinds := map[int]error{1: ErrInvalidRecord, 2: ErrInvalidRecord, 4: ErrInvalidTimestamp, 5: ErrInvalidRecord}
		last := -1
		for _, e := range re.RecordErrors {
			if e.Kind != kinds[e.Index] || e.Message == "" || e.Index <= last {
				t.Errorf("%v: %+v", codec, e)
			}
			last = e.Index
		}
	}
	lim.CheckTimestamps = false
	_, err := Validate(oracleBatch(None, 6, oracleRecords(records), nil), lim)
	if !errors.Is(err, ErrInvalidRecord) || errors.Is(err, ErrInvalidTimestamp) {
		t.Fatal(err)
	}
	// Broken framing behind a bad record fails the batch as a whole.
	_, err = Validate(oracleBatch(None, 6, append(oracleRecords(records), 1), nil), lim)
	var re *RecordsError
	if errors.As(err, &re) || !errors.Is(err, ErrInvalidRecord) {
		t.Fatal(err)
	}
}

func TestRecordErrorsAreBounded(t *testing.T) {
	records := make([]kmsg.Record, 5000)
	for i := range records {
		records[i].OffsetDelta = int32(i)
	}
	records[4999].TimestampDelta64 = 1 << 40
	b := oracleBatch(None, 5000, oracleRecords(records), nil)
	_, err := Validate(b, Limits{RequireKey: true, CheckTimestamps: true, Now: 1000})
	var re *RecordsError
	if !errors.As(err, &re) || len(re.RecordErrors) != MaxRecordErrors || re.Total != 5000 || !errors.Is(err, ErrInvalidRecord) {
		t.Fatal(err)
	}
	records[4999].Key = []byte{}
	_, err = Validate(oracleBatch(None, 5000, oracleRecords(records), nil), Limits{RequireKey: true, CheckTimestamps: true, Now: 1000})
	if !errors.Is(err, ErrInvalidTimestamp) {
		t.Fatal("a timestamp error beyond the list must still decide:", err)
	}
}

func TestTimestampBounds(t *testing.T) {
	for _, c := range []struct {
		ts, now, before, after int64
		bad                    bool
	}{
		{900, 1000, 100, 0, false}, {899, 1000, 100, 0, true},
		{1000, 1000, 0, 0, false}, {1010, 1000, 0, 10, false}, {1011, 1000, 0, 10, true},
		{-1, 1000, 0, 0, false}, {-2, 1000, 0, 0, true},
		{math.MinInt64, 1000, math.MaxInt64, 0, true}, {math.MinInt64 + 1000, 1, math.MaxInt64, 0, false},
		{math.MaxInt64, -1, 0, math.MaxInt64, true}, {math.MaxInt64, 0, 0, math.MaxInt64, false},
		{math.MaxInt64, math.MinInt64, 0, math.MaxInt64, true},
	} {
		b := oracleBatch(None, 1, oracleRecords(make([]kmsg.Record, 1)), func(rb *kmsg.RecordBatch) { rb.FirstTimestamp = c.ts })
		_, err := Validate(b, Limits{CheckTimestamps: true, Now: c.now, TimestampBeforeMax: c.before, TimestampAfterMax: c.after})
		if errors.Is(err, ErrInvalidTimestamp) != c.bad {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	b := clientBatch(t, None, 64, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Validate(b, Limits{CheckTimestamps: true, Now: 1000, TimestampAfterMax: 1 << 40}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzValidate(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(clientBatch(f, codec, 3, 5)[attributesAt:])
	}
	for _, c := range badRecords {
		f.Add(oracleBatch(None, 1, c.b, nil)[attributesAt:])
	}
	lim := Limits{AllowTransactional: true, MaxDecompressedBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, tail []byte) {
		// Length and checksum are made right, so that the fuzzer gets through.
		b := append(make([]byte, attributesAt), tail...)
		b[lengthAt+2], b[lengthAt+3] = byte((len(b)-12)>>8), byte(len(b)-12)
		b[lengthAt+1] = byte((len(b) - 12) >> 16)
		b[magicAt] = 2
		if len(b) >= HeaderSize {
			fixCRC(b)
		}
		info, err := Validate(b, lim)
		if err != nil {
			return
		}
		var count int32
		if err := ForEach(b, 1<<20, func(r *Record) error {
			if r.OffsetDelta != count {
				t.Fatalf("offset delta %d at %d", r.OffsetDelta, count)
			}
			count++
			return nil
		}); err != nil || count != info.Header.Count {
			t.Fatalf("accepted %d, decoded %d: %v", info.Header.Count, count, err)
		}
		if info.Header.Codec() == None {
			oracleCount(t, b, count)
		}
	})
}

// oracleCount checks that kmsg reads n records from an uncompressed batch.
func oracleCount(t *testing.T, b []byte, n int32) {
	t.Helper()
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	rest := rb.Records
	for i := range n {
		c := cursor{buf: rest}
		size, _ := c.varint()
		end := c.pos + int(size)
		var r kmsg.Record
		if err := r.ReadFrom(rest[:end]); err != nil {
			t.Fatalf("oracle refuses record %d: %v", i, err)
		}
		rest = rest[end:]
	}
	if len(rest) != 0 {
		t.Fatalf("oracle leaves %d bytes", len(rest))
	}
}
