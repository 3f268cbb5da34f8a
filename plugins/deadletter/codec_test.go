package deadletter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins/pipeline"
)

// golden is one emission of each shape, with its bytes in testdata.
var golden = []struct {
	file string
	e    pipeline.Emission
}{
	{"full", pipeline.Emission{
		Index: 258, Topic: "dlq.orders", Stage: "validate-order", Code: 7, Message: "amount is negative", Payload: true,
		Key: []byte("k"), Value: []byte("value"), Timestamp: 1_700_000_000_123,
		Headers: []record.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a")}, {Key: []byte{}, Value: []byte{}}},
	}},
	{"nulls", pipeline.Emission{Topic: "t", Stage: "s", Code: 1000, Payload: true, Timestamp: -1}},
	{"empty", pipeline.Emission{Topic: "t", Stage: "s", Code: 1999, Payload: true, Key: []byte{}, Value: []byte{}}},
	{"none", pipeline.Emission{
		Index: 1, Topic: "t", Stage: "s", Code: 1002, Message: "é", Timestamp: 5,
		Headers: []record.RecordHeader{{Key: []byte("__dlq.errors.topic"), Value: []byte("x")}},
	}},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		b := AppendEmission(nil, &g.e)
		path := filepath.Join("testdata", g.file+".hex")
		if os.Getenv("VARVE_UPDATE") != "" {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(b); got != string(want) {
			t.Errorf("%s:\n%swant\n%s", g.file, got, want)
		}
		e, rest, err := DecodeEmission(append(b, "more"...))
		if err != nil || string(rest) != "more" || !reflect.DeepEqual(e, g.e) {
			t.Errorf("%s: %+v, %q, %v", g.file, e, rest, err)
		}
	}
}

func TestSeveralStandBackToBack(t *testing.T) {
	var b []byte
	for _, g := range golden {
		b = AppendEmission(b, &g.e)
	}
	for _, g := range golden {
		e, rest, err := DecodeEmission(b)
		if err != nil || !reflect.DeepEqual(e, g.e) {
			t.Fatalf("%+v, %v", e, err)
		}
		b = rest
	}
	if len(b) != 0 {
		t.Fatalf("%d bytes left", len(b))
	}
}

func TestDamage(t *testing.T) {
	b := AppendEmission(nil, &golden[0].e)
	for n := range b {
		if _, _, err := DecodeEmission(b[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	set := func(at int, v ...byte) []byte {
		c := bytes.Clone(b)
		copy(c[at:], v)
		return c
	}
	long := golden[0].e
	long.Message = strings.Repeat("m", 1025)
	noTopic, noStage := golden[0].e, golden[0].e
	noTopic.Topic, noStage.Stage = "", strings.Repeat("s", 129)
	for name, c := range map[string][]byte{
		"version": set(4, 2), "kind": set(5, 2), "flag": set(6, 3), "zero": set(7, 1), "negative index": set(8, 0xff, 0xff, 0xff, 0xff),
		"shorter": set(0, b[0]-1), "shorter than fixed": set(0, 27), "more headers": set(28, 4), "fewer headers": set(28, 2),
		"lying count": set(28, 0xff, 0xff, 0xff, 0xff), "payload hidden": set(6, 0), "topic too long": set(22, 0xff, 0xff),
		"huge": set(0, 0xff, 0xff, 0xff, 0xff), "long message": AppendEmission(nil, &long),
		"no topic": AppendEmission(nil, &noTopic), "long stage": AppendEmission(nil, &noStage),
	} {
		if e, _, err := DecodeEmission(c); !errors.Is(err, ErrDamaged) || !reflect.DeepEqual(e, pipeline.Emission{}) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func FuzzDecodeEmission(f *testing.F) {
	for _, g := range golden {
		f.Add(AppendEmission(nil, &g.e))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := DecodeEmission(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := AppendEmission(nil, &e); !bytes.Equal(append(again, rest...), b) {
			t.Fatalf("accepted %x, would write %x", b, again)
		}
	})
}

func BenchmarkEmission(b *testing.B) {
	e := golden[0].e
	e.Value = make([]byte, 1024)
	var buf []byte
	b.ReportAllocs()
	for range b.N {
		buf = AppendEmission(buf[:0], &e)
		if _, _, err := DecodeEmission(buf); err != nil {
			b.Fatal(err)
		}
	}
}
