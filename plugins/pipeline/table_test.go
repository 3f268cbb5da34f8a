package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// at answers a for record i and keep for the others.
func at(i uint32, a answer) func(*seen) answer {
	return func(r *seen) answer {
		if r.index == i {
			return a
		}
		return keep()
	}
}

// TestVerdicts has a row for each verdict, with what each policy makes of it for
// record 1 of 3: k kept, r replaced, d dropped, l dead-lettered, x the batch is
// refused. Columns: reject, dead-letter, drop, pass.
func TestVerdicts(t *testing.T) {
	g := garbage()
	g.raw = []byte{byte(abi.Reject), 1} // cut short: garbage for 1 and 2
	rows := []struct {
		name      string
		answer    answer
		hook      abi.Hook
		fates     string
		garbage   bool // record 2 fails as well
		code      abi.Code
		open      string // with an open breaker
		sensitive string // what a sensitive stage makes of it
	}{
		{"keep", keep(), abi.HookTransform, "kkkk", false, 0, "kkkk", "kkkk"},
		{"keep", keep(), abi.HookValidate, "kkkk", false, 0, "kkkk", "kkkk"},
		{"drop", drop(), abi.HookTransform, "dddd", false, 0, "dddd", "dddd"},
		{"drop", drop(), abi.HookValidate, "xldk", true, 1002, "xxdk", "xldx"},
		{"replace", value([]byte("new")), abi.HookTransform, "rrrr", false, 0, "rrrr", "rrrr"},
		{"replace", value([]byte("new")), abi.HookValidate, "xldk", true, 1002, "xxdk", "xldx"},
		{"replace nothing", answer{verdict: abi.Verdict{Action: abi.Replace}}, abi.HookTransform, "kkkk", false, 0, "kkkk", "kkkk"},
		{"reject", reject(7, "no"), abi.HookTransform, "xldk", false, 7, "xxdk", "xldx"},
		{"reject", reject(7, "no"), abi.HookValidate, "xldk", false, 7, "xxdk", "xldx"},
		{"dead-letter", toDeadLetter(8, "no"), abi.HookTransform, "llll", false, 8, "xxxx", "llll"},
		{"dead-letter", toDeadLetter(8, "no"), abi.HookValidate, "llll", false, 8, "xxxx", "llll"},
		{"trap", trap(wasm.WhyTrapped), abi.HookTransform, "xldk", false, 1000, "xxdk", "xldx"},
		{"depth", trap(wasm.WhyDepth), abi.HookTransform, "xldk", false, 1000, "xxdk", "xldx"},
		{"exit", trap(wasm.WhyExit), abi.HookTransform, "xldk", false, 1000, "xxdk", "xldx"},
		{"fuel", trap(wasm.WhyFuel), abi.HookValidate, "xldk", false, 1001, "xxdk", "xldx"},
		{"memory", trap(wasm.WhyMemory), abi.HookTransform, "xldk", false, 1004, "xxdk", "xldx"},
		{"garbage", g, abi.HookTransform, "xldk", true, 1002, "xxdk", "xldx"},
		{"garbage", g, abi.HookValidate, "xldk", true, 1002, "xxdk", "xldx"},
	}
	for _, row := range rows {
		for mode, fates := range []string{row.fates, row.open, row.sensitive} {
			for p := plugins.OnFailureReject; p <= plugins.OnFailurePass; p++ {
				t.Run(fmt.Sprintf("%s/%v/%v/%d", row.name, row.hook, p, mode), func(t *testing.T) {
					in := clientBatch(t, record.None, false, numbered(3))
					if mode == 1 {
						in.Open = 1
					}
					c := New(testTopic, []Stage{stageOf("s", &native{t: t, do: at(1, row.answer)}, func(s *Stage) {
						s.Hook, s.Spec.OnFailure, s.Spec.Sensitive = row.hook, p, mode == 2
					})}, Options{})
					out := run(t, c, in)
					failed := 1
					if row.garbage {
						failed = 2
					}
					checkFate(t, &out, fates[p], failed, row.code)
				})
			}
		}
	}
}

// checkFate checks what became of record 1 of 3, and of record 2 if two failed.
func checkFate(t *testing.T, out *Output, fate byte, failed int, code abi.Code) {
	t.Helper()
	got := [5]int{out.Kept, out.Replaced, out.Dropped, out.DeadLettered, out.Rejected}
	want := map[byte][5]int{
		'k': {3}, 'r': {2, 1}, 'd': {3 - failed, 0, failed}, 'l': {3 - failed, 0, 0, failed}, 'x': {0, 0, 0, 0, 3},
	}[fate]
	if got != want {
		t.Fatalf("fate %c: got %v, want %v", fate, got, want)
	}
	switch fate {
	case 'x':
		var errs *record.RecordsError
		if !errors.As(out.Refusal, &errs) || errs.Total != failed || errs.RecordErrors[0].Index != 1 || !errors.Is(out.Refusal, record.ErrInvalidRecord) {
			t.Fatalf("refusal %v", out.Refusal)
		}
	case 'l':
		e := out.Emissions[0]
		if e.Index != 1 || abi.Code(e.Code) != code || e.Topic != "dlq.orders" || e.Stage != "s" || e.Timestamp != baseTime+1 ||
			string(e.Key) != "k1" || string(e.Value) != "v1" || len(e.Headers) != 1 {
			t.Fatalf("emission %+v", e)
		}
	}
}

// A batch that a chain leaves alone, or that meets a chain without stages, is
// stored as the bytes that came (W1).
func TestUnchangedIsTheClientsBatch(t *testing.T) {
	for _, codec := range codecs {
		in := clientBatch(t, codec, true, numbered(50))
		in.Codec = record.Zstd
		g := &native{t: t, do: func(*seen) answer { return keep() }}
		out := run(t, New(testTopic, []Stage{stageOf("a", g, nil), stageOf("b", g, nil)}, Options{}), in)
		if !out.Unchanged || out.Stages[1].Records != 50 || out.Stages[1].Kept != 50 || out.Stages[0].Name != "a" {
			t.Fatalf("%v: %+v", codec, out)
		}
		none := run(t, New(testTopic, nil, Options{}), in)
		if !none.Unchanged || &none.Batch[0] != &in.Batch[0] || len(none.Batch) != len(in.Batch) {
			t.Fatalf("%v: a chain without stages changed something", codec)
		}
	}
}

func TestStagesSeeWhatSurvived(t *testing.T) {
	first := &native{t: t, do: func(r *seen) answer {
		switch r.index {
		case 0:
			return drop()
		case 1:
			return value(nil)
		case 2:
			return toDeadLetter(1, "")
		}
		return keep()
	}}
	second := &native{t: t, do: func(*seen) answer { return keep() }}
	valueOnly := &native{t: t, do: func(*seen) answer { return keep() }}
	c := New(testTopic, []Stage{stageOf("a", first, nil), stageOf("b", second, nil),
		stageOf("c", valueOnly, func(s *Stage) { s.Parts, s.Tombstones = abi.PartValue, false })}, Options{})
	out := run(t, c, clientBatch(t, record.LZ4, false, numbered(5)))
	if got := second.frames[0].records; len(got) != 3 || got[0].index != 1 || got[0].value != nil || got[1].index != 3 || string(got[1].value) != "v3" {
		t.Fatalf("second stage saw %+v", got)
	}
	if got := valueOnly.frames[0]; got.parts != 2 || len(got.records) != 2 || got.records[0].index != 3 || len(got.records[0].key) != 0 {
		t.Fatalf("third stage saw %+v", got)
	}
	if s := out.Stages[2]; s.Skipped != 1 || s.Records != 2 {
		t.Fatalf("%+v", s)
	}
	if _, records := stored(t, out.Batch); fmt.Sprint(records) !=
		fmt.Sprint([]string{`1 @1 0 "k1" null "h"="1"`, `3 @3 0 "k3" "v3" "h"="3"`, `4 @4 0 "k4" "v4" "h"="4"`}) {
		t.Fatalf("stored %q", records)
	}
}

func TestTailIsCutAndNothingLeft(t *testing.T) {
	in := clientBatch(t, record.Gzip, true, numbered(10))
	g := &native{t: t, do: func(r *seen) answer {
		if r.index == 2 || r.index == 5 {
			return keep()
		}
		return drop()
	}}
	out := run(t, New(testTopic, []Stage{stageOf("a", g, nil)}, Options{}), in)
	if h, _ := stored(t, out.Batch); h.LastOffsetDelta != 5 || h.NumRecords != 2 || h.MaxTimestamp != baseTime+5 {
		t.Fatalf("%+v", h)
	}
	all := &native{t: t, do: func(*seen) answer { return drop() }}
	if out := run(t, New(testTopic, []Stage{stageOf("a", all, nil), stageOf("b", g, nil)}, Options{}), in); out.Batch != nil || out.Stages[1].Calls != 0 {
		t.Fatalf("%+v", out)
	}
}

// TestDeadLetterPayload pins what a dead letter carries when stages before have
// changed the record: the client's bytes, but nothing that a sensitive stage took
// away.
func TestDeadLetterPayload(t *testing.T) {
	for _, row := range []struct {
		name      string
		sensitive [2]bool
		payload   plugins.Payload
		value     string
	}{
		{"client's", [2]bool{}, plugins.PayloadFull, "v0"},
		{"second is sensitive", [2]bool{false, true}, plugins.PayloadFull, "b"},
		{"first is sensitive", [2]bool{true, false}, plugins.PayloadFull, "a"},
		{"none", [2]bool{}, plugins.PayloadNone, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			stage := func(i int, v string) Stage {
				return stageOf(v, &native{t: t, do: func(*seen) answer { return value([]byte(v)) }}, func(s *Stage) { s.Spec.Sensitive = row.sensitive[i] })
			}
			last := stageOf("last", &native{t: t, do: func(*seen) answer { return toDeadLetter(3, "m\xff") }}, func(s *Stage) {
				s.Spec.DeadLetter = plugins.DeadLetterSpec{Topic: "elsewhere", Payload: row.payload}
			})
			rs := numbered(1)
			rs[0].Headers = append(rs[0].Headers, record.RecordHeader{Key: []byte("__dlq.errors.topic"), Value: []byte("x")})
			out := run(t, New(testTopic, []Stage{stage(0, "a"), stage(1, "b"), last}, Options{}), clientBatch(t, record.None, false, rs))
			e := out.Emissions[0]
			if string(e.Value) != row.value || e.Topic != "elsewhere" || e.Stage != "last" || e.Message != "m\uFFFD" || e.Code != 3 {
				t.Fatalf("%+v", e)
			}
			if none := row.payload == plugins.PayloadNone; e.Payload == none || (e.Key == nil) != none || len(e.Headers) != map[bool]int{true: 1, false: 2}[none] {
				t.Fatalf("%+v", e)
			}
		})
	}
}

func TestRefusalListsAllStagesSorted(t *testing.T) {
	const n = 5000
	odd := &native{t: t, do: func(r *seen) answer {
		if r.index%2 == 1 {
			return reject(1, "odd")
		}
		return keep()
	}}
	even := &native{t: t, do: func(r *seen) answer {
		if r.index == 0 {
			return toDeadLetter(1, "")
		}
		return reject(2, "")
	}}
	out := run(t, New(testTopic, []Stage{stageOf("a", odd, nil), stageOf("b", even, nil)}, Options{}), clientBatch(t, record.Snappy, false, numbered(n)))
	var errs *record.RecordsError
	if !errors.As(out.Refusal, &errs) || errs.Total != n-1 || len(errs.RecordErrors) != record.MaxRecordErrors {
		t.Fatalf("%v", out.Refusal)
	}
	for i, e := range errs.RecordErrors {
		want := "stage a: odd (code 1)"
		if i%2 == 1 {
			want = "stage b: rejected with code 2"
		}
		if e.Index != i+1 || e.Message != want {
			t.Fatalf("%d: %+v", i, e)
		}
	}
}

func TestOutputIsCheckedLikeAClients(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 5000)
	stamp := func(ts int64) answer {
		return answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartTimestamp, Timestamp: ts}}
	}
	noKey := answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartKey}}
	window := record.Limits{CheckTimestamps: true, TimestampBeforeMax: 10, TimestampAfterMax: 20}
	for _, row := range []struct {
		name   string
		limits record.Limits
		answer answer
		want   error
		kind   error
	}{
		{"larger than the topic takes", record.Limits{MaxBatchBytes: 4000}, value(big), record.ErrTooLarge, nil},
		{"fits", record.Limits{MaxBatchBytes: 6000}, value(big), nil, nil},
		{"more than may be decompressed", record.Limits{MaxDecompressedBytes: 4000}, value(big), record.ErrTooLarge, nil},
		{"no key", record.Limits{RequireKey: true}, noKey, record.ErrInvalidRecord, record.ErrInvalidRecord},
		{"no key allowed", record.Limits{}, noKey, nil, nil},
		{"too old", window, stamp(appendTime - 11), record.ErrInvalidRecord, record.ErrInvalidTimestamp},
		{"oldest", window, stamp(appendTime - 10), nil, nil},
		{"newest", window, stamp(appendTime + 20), nil, nil},
		{"too new", window, stamp(appendTime + 21), record.ErrInvalidRecord, record.ErrInvalidTimestamp},
		{"no timestamp", window, stamp(-1), nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := New(testTopic, []Stage{stageOf("a", &native{t: t, do: at(1, row.answer)}, nil)}, Options{Limits: row.limits})
			out := run(t, c, clientBatch(t, record.None, false, numbered(3)))
			if !errors.Is(out.Refusal, row.want) || (row.want == nil) != (out.Refusal == nil) {
				t.Fatalf("refusal %v, want %v", out.Refusal, row.want)
			}
			var errs *record.RecordsError
			if errors.As(out.Refusal, &errs) && (errs.RecordErrors[0].Index != 1 || errs.RecordErrors[0].Kind != row.kind) {
				t.Fatalf("%+v", errs)
			}
		})
	}
}

func TestHeadersKeepOrderDuplicatesAndNull(t *testing.T) {
	hs := []record.RecordHeader{{Key: []byte("b"), Value: nil}, {Key: []byte("a"), Value: []byte{}}, {Key: []byte("b"), Value: []byte("2")}, {Key: []byte(""), Value: []byte("x")}}
	rs := []record.Record{{Value: []byte("v"), Headers: hs}, {Key: []byte{}, Value: nil}}
	g := &native{t: t, do: func(r *seen) answer {
		if r.index == 0 {
			return value([]byte{})
		}
		return answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartHeaders, Headers: abi.EncodeHeaders(hs)}}
	}}
	out := run(t, New(testTopic, []Stage{stageOf("a", g, nil)}, Options{}), clientBatch(t, record.Zstd, false, rs))
	want := ` "b"=null "a"="" "b"="2" ""="x"`
	if _, got := stored(t, out.Batch); got[0] != `0 @0 0 null ""`+want || got[1] != `1 @0 0 "" null`+want {
		t.Fatalf("%q", got)
	}
}

func TestWorkingMemoryIsBounded(t *testing.T) {
	in := clientBatch(t, record.Zstd, false, numbered(1000))
	keepAll := stageOf("a", &native{t: t, do: func(*seen) answer { return keep() }}, nil)
	if out := run(t, New(testTopic, []Stage{keepAll}, Options{MaxMemoryBytes: 50_000}), in); !errors.Is(out.Refusal, record.ErrTooLarge) {
		t.Fatalf("%v", out.Refusal)
	}
	grow := stageOf("a", &native{t: t, do: func(*seen) answer { return value(make([]byte, 1000)) }}, policy(plugins.OnFailureDrop))
	out := run(t, New(testTopic, []Stage{grow}, Options{MaxMemoryBytes: 1 << 20}), in)
	if out.Replaced == 0 || out.Dropped == 0 || out.Replaced > 800 {
		t.Fatalf("%+v", out)
	}
	headers := answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartHeaders, Headers: abi.EncodeHeaders(make([]record.RecordHeader, 500))}}
	many := stageOf("a", &native{t: t, do: func(*seen) answer { return headers }}, policy(plugins.OnFailureDeadLetter))
	out = run(t, New(testTopic, []Stage{many}, Options{MaxMemoryBytes: 1 << 20}), in)
	if out.Replaced > 40 || abi.Code(out.Emissions[len(out.Emissions)-1].Code) != abi.CodeTooLarge {
		t.Fatalf("%+v", out)
	}
	long := []record.RecordHeader{{Key: make([]byte, 30_000), Value: make([]byte, 30_000)}}
	headers = answer{verdict: abi.Verdict{Action: abi.Replace, Mask: abi.PartHeaders, Headers: abi.EncodeHeaders(long)}}
	out = run(t, New(testTopic, []Stage{many}, Options{MaxMemoryBytes: 1 << 20}), in)
	if out.Replaced == 0 || out.Replaced > 20 {
		t.Fatalf("%+v", out)
	}
}

func TestEmissionsAreBounded(t *testing.T) {
	rs := make([]record.Record, 200)
	for i := range rs {
		rs[i].Value = make([]byte, 1000)
	}
	in := clientBatch(t, record.Zstd, false, rs)
	all := []Stage{stageOf("a", &native{t: t, do: func(*seen) answer { return toDeadLetter(1, "") }}, nil)}
	if out := run(t, New(testTopic, all, Options{MaxEmissionBytes: 200_000}), in); !errors.Is(out.Refusal, record.ErrTooLarge) {
		t.Fatalf("%d dead letters", out.DeadLettered)
	}
	if out := run(t, New(testTopic, all, Options{MaxEmissionBytes: 220_000}), in); out.DeadLettered != 200 {
		t.Fatal(out.Refusal)
	}
	small := make([]record.Record, 2000)
	if out := run(t, New(testTopic, all, Options{MaxEmissionBytes: 90_000}), clientBatch(t, record.Zstd, false, small)); !errors.Is(out.Refusal, record.ErrTooLarge) {
		t.Fatalf("%d dead letters without bytes", out.DeadLettered)
	}
}

// TestMessagesAreBounded: plugins cannot fill an entry with messages.
func TestMessagesAreBounded(t *testing.T) {
	long := string(bytes.Repeat([]byte("m"), abi.MaxMessageBytes))
	c := New(testTopic, []Stage{stageOf("a", &native{t: t, do: func(*seen) answer { return toDeadLetter(1, long) }}, nil)}, Options{})
	out := run(t, c, clientBatch(t, record.None, false, numbered(2000)))
	if len(out.Emissions) != 2000 || out.Emissions[1023].Message != long || out.Emissions[1024].Message != "" {
		t.Fatalf("%d emissions", len(out.Emissions))
	}
}
