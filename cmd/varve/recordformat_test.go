package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var formatRecord = &kgo.Record{
	Topic: "orders", Partition: 3, Offset: 42, LeaderEpoch: 7, Timestamp: time.UnixMilli(1769860800123),
	Key: []byte("k"), Value: []byte("a b"), Headers: []kgo.RecordHeader{{Key: "x", Value: []byte("1")}, {Key: "y"}},
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]string{
		`%v\n`:             "a b\n",
		`%s`:               "a b",
		`%t/%p@%o %k=%v`:   "orders/3@42 k=a b",
		`%T %d`:            "1769860800123 2026-01-31T12:00:00.123Z",
		`[%h] %K %V %S %e`: "[x=1,y=] 1 3 3 7",
		`100%% \\ \x41\t|`: "100% \\ A\t|",
		`\0`:               "\x00",
	} {
		f, err := parseFormat(in, false)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := string(f.append(nil, formatRecord)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f, _ := parseFormat("%K %V %k %v", false)
	if got := string(f.append(nil, &kgo.Record{Value: []byte{}})); got != "-1 0  " {
		t.Errorf("null and empty: %q", got)
	}
}

func TestFormatRefused(t *testing.T) {
	for in, want := range map[string]string{
		"": "is empty", "%": "ends with", `a\`: "ends with", "%q": "%q is not known", `\q`: `\q is not known`, `\x4`: `\x is not known`, `\xzz`: `\x is not known`,
	} {
		if _, err := parseFormat(in, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	for in, want := range map[string]string{
		"%o": "%o is not known", "%k%v": "separates", `%v\n`: "one line", "%v %v": "twice",
	} {
		f, err := parseFormat(in, true)
		if err == nil {
			err = f.checkReadable()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q for reading: %v, want %q", in, err, want)
		}
	}
}

func TestFormatRead(t *testing.T) {
	for _, c := range []struct{ format, line, key, value, headers, err string }{
		{"%v", "a b", "", "a b", "", ""},
		{"%v", "", "", "", "", ""},
		{"%k %v", "k a b", "k", "a b", "", ""},
		{"%k: %v", "k: a: b", "k", "a: b", "", ""},
		{"<%k> [%h] %v", "<k> [x=1,y=2=3] v", "k", "v", "x=1,y=2=3,", ""},
		{"[%h] %v", "[] v", "", "v", "", ""},
		{"%k %v", "k", "", "", "", `" " is missing behind %k`},
		{"<%v>", "v>", "", "", "", `"<" is missing`},
		{"<%v>", "<v>x", "", "", "", `left behind`},
		{"%p %v", "x v", "", "", "", "no partition"},
		{"%p %v", "-1 v", "", "", "", "no partition"},
		{"%T %v", "x v", "", "", "", "no timestamp"},
		{"%h %v", "x v", "", "", "", "not name=value"},
	} {
		f, err := parseFormat(c.format, true)
		if err != nil || f.checkReadable() != nil {
			t.Fatalf("%q: %v", c.format, err)
		}
		var r kgo.Record
		err = f.read([]byte(c.line), &r)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q of %q: %v, want %q", c.line, c.format, err, c.err)
			continue
		}
		var headers string
		for _, h := range r.Headers {
			headers += h.Key + "=" + string(h.Value) + ","
		}
		if err == nil && (string(r.Key) != c.key || string(r.Value) != c.value || headers != c.headers) {
			t.Errorf("%q of %q: %q %q %q", c.line, c.format, r.Key, r.Value, headers)
		}
	}
	f, _ := parseFormat("%p %T %v", true)
	var r kgo.Record
	if err := f.read([]byte("3 1769860800123 v"), &r); err != nil || r.Partition != 3 || r.Timestamp.UnixMilli() != 1769860800123 {
		t.Errorf("%v %+v", err, r)
	}
}

// TestJSONRoundTrip: what consume prints, produce reads back as it was.
func TestJSONRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() []byte {
		switch random.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			return []byte("text <&> \"\\ \u2028 é\n")[:random.IntN(20)]
		}
		b := make([]byte, random.IntN(20))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	for range 2000 {
		in := &kgo.Record{Topic: "t", Partition: 1, Offset: random.Int64(), Timestamp: time.UnixMilli(random.Int64N(1 << 45)), Key: some(), Value: some()}
		for range random.IntN(3) {
			in.Headers = append(in.Headers, kgo.RecordHeader{Key: "h", Value: some()})
		}
		line, err := appendJSON(nil, in)
		if err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%v in %q", err, line)
		}
		var out kgo.Record
		if err := readJSON(line, &out); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		ok := same(in.Key, out.Key) && same(in.Value, out.Value) && in.Timestamp.Equal(out.Timestamp) && len(in.Headers) == len(out.Headers)
		for i := range out.Headers {
			ok = ok && same(in.Headers[i].Value, out.Headers[i].Value)
		}
		if !ok {
			t.Fatalf("%+v became %+v by %s", in, out, line)
		}
	}
}

func TestJSONRefused(t *testing.T) {
	for in, want := range map[string]string{
		"": "no record", "[]": "no record", `{"valeu": "x"}`: "valeu", `{"value": "x"} {}`: "follows",
		`{"key": "x", "key_base64": "eA=="}`: "twice", `{"headers": [{"name": "h", "value": "", "value_base64": "eA=="}]}`: "header h",
	} {
		if err := readJSON([]byte(in), new(kgo.Record)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(`%k: %v`, "k: v")
	f.Add(`[%h] <%p> %T`, "[a=b] <1> 3")
	f.Add(`\x41%%`, "A%")
	f.Fuzz(func(t *testing.T, layout, line string) {
		if out, err := parseFormat(layout, false); err == nil {
			out.append(nil, formatRecord)
		}
		in, err := parseFormat(layout, true)
		if err != nil || in.checkReadable() != nil {
			return
		}
		var r kgo.Record
		if in.read([]byte(line), &r) != nil || in.has('p') || in.has('T') || in.has('h') {
			return
		}
		if got := string(in.append(nil, &r)); got != line {
			t.Errorf("%q reads %q and writes %q", layout, line, got)
		}
	})
}
