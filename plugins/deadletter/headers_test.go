package deadletter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins/pipeline"
)

func header(name, value string) record.RecordHeader {
	return record.RecordHeader{Key: []byte(name), Value: []byte(value)}
}

func show(r *record.Record) string {
	var s []string
	for _, h := range r.Headers {
		v := "null"
		if h.Value != nil {
			v = string(h.Value)
		}
		s = append(s, strings.TrimPrefix(string(h.Key), "__dlq.errors.")+"="+v)
	}
	return strings.Join(s, " ")
}

func TestRecord(t *testing.T) {
	origin := Origin{Topic: "orders", Partition: 3, BaseOffset: 1_000_000, AppendTime: 1_800_000_000_000}
	const now = "topic=orders partition=3 offset=1000005 stage=s code=7 message=no timestamp=1800000000000"
	last := "last." + strings.ReplaceAll(now, " ", " last.")
	full := []record.RecordHeader{header("__dlq.errors.topic", "first"), header("x", "1"), header("__dlq.errors.partition", "0"),
		header("__dlq.errors.offset", "9"), header("__dlq.errors.stage", "old")}
	again := append([]record.RecordHeader{header("__dlq.errors.last.topic", "second"), header("__dlq.errors.last.code", "2")}, full...)
	nullOrigin := append([]record.RecordHeader{}, full...)
	nullOrigin[3].Value = nil
	for _, row := range []struct {
		name    string
		headers []record.RecordHeader
		full    string
		none    string
	}{
		{"no headers", nil, now, now},
		{"own headers", []record.RecordHeader{header("b", "1"), header("a", "2"), header("b", "3"), {Key: []byte("n")}}, "b=1 a=2 b=3 n=null " + now, now},
		{"stray headers of the family", []record.RecordHeader{header("__dlq.errors.topic", "forged"), header("__dlq.errors.group", "g")}, "group=g " + now, now},
		{"half an origin", full[:3], "x=1 " + now, now},
		{"null in the origin", nullOrigin, "x=1 " + now, now},
		{"second failure", full, "topic=first x=1 partition=0 offset=9 stage=old " + last, "topic=first partition=0 offset=9 stage=old " + last},
		{"third failure", again, "topic=first x=1 partition=0 offset=9 stage=old " + last, "topic=first partition=0 offset=9 stage=old " + last},
	} {
		for _, payload := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", row.name, payload), func(t *testing.T) {
				e := pipeline.Emission{Index: 5, Topic: "dlq.orders", Stage: "s", Code: 7, Message: "no", Payload: payload,
					Key: []byte("k"), Value: []byte("v"), Headers: row.headers, Timestamp: 1234}
				r := Record(&e, origin, 1000)
				want := row.none
				if payload {
					want = row.full
				}
				if got := show(&r); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				if r.TimestampDelta != 234 || r.OffsetDelta != 0 || (r.Key != nil) != payload || (r.Value != nil) != payload {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// TestRecordFitsIntoABatch builds a batch of dead letters, the third of which was
// redriven twice: the headers do not grow with every failure.
func TestRecordFitsIntoABatch(t *testing.T) {
	e := pipeline.Emission{Topic: "dlq.t", Stage: "s", Payload: true, Value: []byte("v"), Timestamp: -1}
	var counts []int
	for i := range 4 {
		r := Record(&e, Origin{Topic: "t", BaseOffset: int64(i)}, 0)
		b := record.NewBuilder(record.DefaultParams(record.None, 0))
		if err := b.Append(&r); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Finish(-1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Validate(batch, record.Limits{}); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, len(r.Headers))
		e.Headers = r.Headers
	}
	if fmt.Sprint(counts) != "[7 14 14 14]" {
		t.Fatal(counts)
	}
	if first := string(e.Headers[2].Value); first != "0" {
		t.Fatalf("first offset became %s", first)
	}
}
