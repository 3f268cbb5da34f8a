package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestListeners(t *testing.T) {
	const m = "listener.security.protocol.map="
	for _, tt := range []struct {
		name string
		set  []string
		want string // "listeners | advertised | number of warnings", or part of the error behind "!"
	}{
		{"default", nil, "PLAINTEXT://127.0.0.1:9092 | PLAINTEXT://127.0.0.1:9092 | 0"},
		{"name", []string{"listeners=plaintext://LocalHost:0"}, "PLAINTEXT://LocalHost:0 | PLAINTEXT://LocalHost:0 | 0"},
		{"IPv6", []string{"listeners=PLAINTEXT://[::1]:9092"}, "PLAINTEXT://[::1]:9092 | PLAINTEXT://[::1]:9092 | 0"},
		{"beyond loopback", []string{"listeners=PLAINTEXT://10.0.0.1:9092"}, "PLAINTEXT://10.0.0.1:9092 | PLAINTEXT://10.0.0.1:9092 | 1"},
		{"wildcard", []string{"listeners=PLAINTEXT://:9092", "advertised.listeners=PLAINTEXT://h:1"}, "PLAINTEXT://:9092 | PLAINTEXT://h:1 | 1"},
		{"http", []string{"http.listen=:9644"}, "PLAINTEXT://127.0.0.1:9092 | PLAINTEXT://127.0.0.1:9092 | 1"},
		{
			"two", []string{"listeners=PLAINTEXT://127.0.0.1:1,IN://127.0.0.1:2", m + "IN:PLAINTEXT,PLAINTEXT:PLAINTEXT", "advertised.listeners=IN://h:3"},
			"PLAINTEXT://127.0.0.1:1,IN://127.0.0.1:2 | PLAINTEXT://127.0.0.1:1,IN://h:3 | 0",
		},
		{"wildcard alone", []string{"listeners=PLAINTEXT://0.0.0.0:9092"}, "!set advertised.listeners=PLAINTEXT://<host that clients reach>:9092"},
		{"wildcard IPv6", []string{"listeners=PLAINTEXT://[::]:9092"}, "!listens on every address"},
		{"advertised wildcard", []string{"advertised.listeners=PLAINTEXT://:9092"}, "!clients cannot connect to"},
		{"advertised port", []string{"advertised.listeners=PLAINTEXT://h:0"}, "!clients cannot connect to"},
		{"advertised other", []string{"advertised.listeners=IN://h:1"}, "!there is no listener IN"},
		{"SSL", []string{"listeners=SSL://127.0.0.1:9093"}, "!asks for SSL, which this version does not have; allowed"},
		{"SASL", []string{"listeners=SASL_PLAINTEXT://127.0.0.1:9093"}, "!use PLAINTEXT on a network that you trust"},
		{"mapped", []string{m + "PLAINTEXT:SSL"}, "!PLAINTEXT asks for SSL"},
		{"mapped other", []string{m + "PLAINTEXT:PLAINTEXT,IN:SASL_SSL"}, "!IN asks for SASL_SSL"},
		{"no protocol", []string{"listeners=IN://127.0.0.1:1"}, "!add IN:PLAINTEXT to listener.security.protocol.map"},
		{"bad map", []string{m + "IN"}, "!not NAME:PROTOCOL"},
		{"map twice", []string{m + "IN:PLAINTEXT,in:PLAINTEXT"}, "!stands twice"},
		{"no scheme", []string{"listeners=127.0.0.1:9092"}, "!is not NAME://host:port"},
		{"no port", []string{"listeners=PLAINTEXT://h"}, "!no port"},
		{"port", []string{"listeners=PLAINTEXT://h:65536"}, "!is not a number from 0 to 65535"},
		{"bare IPv6", []string{"listeners=PLAINTEXT://::1:9092"}, "!IPv6 goes in brackets"},
		{"brackets", []string{"listeners=PLAINTEXT://[1.2.3.4]:9092"}, "!not an IPv6 address"},
		{"host", []string{"listeners=PLAINTEXT://a/b:9092"}, "!not a host name"},
		{"empty", []string{"listeners="}, "!is not NAME://host:port"},
		{"twice", []string{"listeners=PLAINTEXT://a:1,PLAINTEXT://b:2"}, "!stands twice"},
		{"same port", []string{"listeners=PLAINTEXT://a:1,IN://a:1"}, "!take the same port"},
		{"many", []string{"listeners=" + strings.Repeat("A://a:1,", 16) + "B://b:1"}, "!at most 16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, warnings, err := Load(set(tt.set...))
			if part, refused := strings.CutPrefix(tt.want, "!"); refused {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Fatalf("Load() = %v, want an error with %q", err, part)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			join := func(ls []Listener) string {
				var out []string
				for _, l := range ls {
					out = append(out, l.String())
				}
				return strings.Join(out, ",")
			}
			if got := join(b.Listeners) + " | " + join(b.Advertised) + " | " + string(rune('0'+len(warnings))); got != tt.want {
				t.Errorf("got %s, want %s (%v)", got, tt.want, warnings)
			}
		})
	}
}

func TestProperties(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []KV
	}{
		{"", nil},
		{"# a=b\n ! c=d\n\n", nil},
		{"a=b", []KV{{"a", "b"}}},
		{"\ufeffa=b", []KV{{"a", "b"}}},
		{"a = b \r\nc:d\re f\n", []KV{{"a", "b "}, {"c", "d"}, {"e", "f"}}},
		{"a==b\nc=:d\n", []KV{{"a", "=b"}, {"c", ":d"}}},
		{"a\nb=\n", []KV{{"a", ""}, {"b", ""}}},
		{"a=1,\\\n   2,\\\n# 3\n", []KV{{"a", "1,2,# 3"}}},
		{"a=b\\\\\nc=d", []KV{{"a", `b\`}, {"c", "d"}}},
		{"a=b\\", []KV{{"a", "b"}}},
		{`a\=b\:c\ d=e`, []KV{{"a=b:c d", "e"}}},
		{`a=\t\n\r\f\q\u0041\ud83d\ude00`, []KV{{"a", "\t\n\r\fqA😀"}}},
		{"a=1\na=2", []KV{{"a", "1"}, {"a", "2"}}},
	} {
		entries, err := parseProperties(File{"f", []byte(tt.text)})
		var got []KV
		for _, e := range entries {
			got = append(got, e.KV)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestYAML(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []KV
	}{
		{"", nil},
		{"# nothing\n", nil},
		{"---\n", nil},
		{"{}", nil},
		{"a.b: 1", []KV{{"a.b", "1"}}},
		{"a: {b: {c: yes}, d: 0x10}\n", []KV{{"a.b.c", "yes"}, {"a.d", "0x10"}}},
		{"a: [x, 1, true]\nb: []\n", []KV{{"a", "x,1,true"}, {"b", ""}}},
		{"a: ''\nb: \"c: d\"\n", []KV{{"a", ""}, {"b", "c: d"}}},
	} {
		entries, err := parseYAML(File{"f", []byte(tt.text)})
		var got []KV
		for _, e := range entries {
			got = append(got, e.KV)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(kafkaExample))
	f.Add([]byte("a=\\u0041\\\n b\\"))
	f.Add([]byte("\\ud83d\\ude00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseProperties(File{"f", data})
		if err != nil && entries != nil {
			t.Error("both entries and an error")
		}
		for _, e := range entries {
			if e.Name == "" || len(e.Name)+len(e.Value) > len(data) {
				t.Errorf("entry %q from %d bytes", e.KV, len(data))
			}
		}
		loads(t, Sources{Properties: &File{"f", data}})
	})
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("log:\n  dirs: [a]\nnum.partitions: 3\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("<<: {a: b}\n? - c\n: d\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		loads(t, Sources{YAML: &File{"f", data}})
		entries, err := parseYAML(File{"f", data})
		if err != nil {
			return
		}
		// The same, said flat and quoted.
		var flat []byte
		for _, e := range entries {
			name, errN := json.Marshal(e.Name)
			value, errV := json.Marshal(e.Value)
			if errN != nil || errV != nil || !utf8.ValidString(e.Name+e.Value) {
				t.Fatalf("%q: %q", e.Name, e.Value)
			}
			if len(name) > 1000 {
				return // longer than a name may be in one line
			}
			flat = fmt.Appendf(flat, "%s: %s\n", name, value)
		}
		again, err := parseYAML(File{"f", flat})
		if err != nil || !slices.EqualFunc(entries, again, func(a, b entry) bool { return a.KV == b.KV }) {
			t.Fatalf("%q is read as %+v, and that as %+v, %v", data, entries, again, err)
		}
	})
}

func FuzzListeners(f *testing.F) {
	f.Add("PLAINTEXT://:9092,IN://[::1]:0", "IN:PLAINTEXT", "PLAINTEXT://a:1")
	f.Add("PLAINTEXT://0.0.0.0:1", "", "")
	f.Fuzz(func(t *testing.T, listeners, protocols, advertised string) {
		if parsed, err := parseListeners("listeners", listeners); err == nil {
			for _, l := range parsed {
				again, err := parseListeners("listeners", l.String())
				if err != nil || again[0] != l {
					t.Errorf("%v reads as %v, %v", l, again, err)
				}
			}
		}
		loads(t, set("listeners="+listeners, "listener.security.protocol.map="+protocols, "advertised.listeners="+advertised))
	})
}

// loads checks what holds for whatever Load accepts.
func loads(t *testing.T, src Sources) {
	t.Helper()
	b, _, err := Load(src)
	if (b == nil) != (err != nil) {
		t.Fatalf("Load() = %v, %v", b, err)
	}
	if err != nil {
		return
	}
	if len(b.Listeners) == 0 || len(b.Listeners) != len(b.Advertised) || b.LogDir == "" || b.TierURL == "" {
		t.Errorf("accepted %+v", b)
	}
	for i, a := range b.Advertised {
		if a.Wildcard() || a.Name != b.Listeners[i].Name {
			t.Errorf("%v is advertised for %v", a, b.Listeners[i])
		}
	}
	if err := ValidateTopic(nil, b); err != nil {
		t.Errorf("a topic without settings is refused: %v", err)
	}
}
