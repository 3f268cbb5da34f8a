package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestParseLength(t *testing.T) {
	const bytesMax = 1 << 20
	for _, tc := range []struct {
		name  string
		b     [4]byte
		first bool
		want  int
		err   error
		text  string
	}{
		{"smallest", [4]byte{0, 0, 0, 8}, true, 8, nil, ""},
		{"largest", [4]byte{0, 0x10, 0, 0}, false, bytesMax, nil, ""},
		{"above", [4]byte{0, 0x10, 0, 1}, false, 0, ErrFrameTooLarge, ""},
		{"zero", [4]byte{}, false, 0, ErrFrameLength, ""},
		{"tiny", [4]byte{0, 0, 0, 7}, false, 0, ErrFrameLength, ""},
		{"minus one", [4]byte{255, 255, 255, 255}, false, 0, ErrFrameLength, ""},
		{"most negative", [4]byte{128, 0, 0, 0}, true, 0, ErrFrameLength, ""},
		{"TLS", [4]byte{0x16, 3, 1, 2}, true, 0, ErrForeignProtocol, "TLS"},
		{"TLS bytes later", [4]byte{0x16, 3, 1, 2}, false, 0, ErrFrameTooLarge, ""},
		{"GET", [4]byte{'G', 'E', 'T', ' '}, true, 0, ErrForeignProtocol, "HTTP"},
		{"POST", [4]byte{'P', 'O', 'S', 'T'}, true, 0, ErrForeignProtocol, "HTTP"},
	} {
		got, err := parseLength(tc.b, tc.first, bytesMax)
		if got != tc.want || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s: %d, %v; want %d, %v", tc.name, got, err, tc.want, tc.err)
		}
		if err != nil && !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %q does not name %s", tc.name, err, tc.text)
		}
	}
}

func TestParseRest(t *testing.T) {
	long := "\x00\x09123456789body"
	for _, tc := range []struct {
		name, in string
		tagged   bool
		id, body string
		bad      bool
	}{
		{"plain", "\x00\x02idbody", false, "id", "body", false},
		{"null id", "\xff\xffbody", false, "", "body", false},
		{"empty id, no body", "\x00\x00", false, "", "", false},
		{"no tags", "\x00\x02id\x00body", true, "id", "body", false},
		{"two tags", "\x00\x02id\x02\x00\x01a\x05\x00body", true, "id", "body", false},
		{"long tag", "\xff\xff\x01\x80\x01\x02abbody", true, "", "body", false},
		{"nothing", "", false, "", "", true},
		{"half a length", "\x00", false, "", "", true},
		{"id past the end", "\x00\x03id", false, "", "", true},
		{"id of -2", "\xff\xfeid", false, "", "", true},
		{"id above the bound", long, false, "", "", true},
		{"tags missing", "\x00\x02id", true, "", "", true},
		{"more tags than bytes", "\x00\x02id\x03\x00\x00\x01", true, "", "", true},
		{"absurd tag count", "\xff\xff\xff\xff\xff\xff\x0f", true, "", "", true},
		{"tag past the end", "\x00\x02id\x01\x00\x05abcd", true, "", "", true},
		{"tag size of 2^63", "\xff\xff\x01\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", true, "", "", true},
		{"varint without end", "\xff\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", true, "", "", true},
	} {
		id, body, err := parseRest([]byte(tc.in), tc.tagged, 8)
		if tc.bad {
			if !errors.Is(err, ErrBadHeader) {
				t.Errorf("%s: error %v", tc.name, err)
			}
			continue
		}
		if err != nil || string(id) != tc.id || string(body) != tc.body {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tc.name, id, body, err, tc.id, tc.body)
		}
	}
}

// The formatter of kmsg is what clients use: what it writes is what we read.
func TestHeadersOfEveryVersion(t *testing.T) {
	id := "client"
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(id))
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil {
			if flexibleFrom(key) != unknownKey {
				t.Errorf("key %d does not exist but is known", key)
			}
			continue
		}
		for v := int16(0); v <= req.MaxVersion(); v++ {
			if key == keyControlledShutdown && v == 0 {
				continue
			}
			req.SetVersion(v)
			b := formatter.AppendRequest(nil, req, 77)
			p := parsePrefix([8]byte(b[4:12]))
			if p != (prefix{key, v, 77}) {
				t.Fatalf("key %d version %d: prefix %+v", key, v, p)
			}
			gotID, body, err := parseRest(b[12:], flexible(key, v), 100)
			if err != nil || string(gotID) != id || !bytes.Equal(body, req.AppendTo(nil)) {
				t.Errorf("key %d version %d: client id %q, error %v, or another body", key, v, gotID, err)
			}
			want := req.ResponseKind().IsFlexible() && key != keyApiVersions
			if got := taggedReply(key, v); got != want {
				t.Errorf("key %d version %d: tagged reply %v, want %v", key, v, got, want)
			}
		}
	}
	for _, key := range []int16{-1, -32768, kmsg.MaxKey + 1, 32767} {
		if flexibleFrom(key) != unknownKey || flexible(key, 32767) {
			t.Errorf("key %d is known", key)
		}
	}
	if flexible(17, 32767) {
		t.Error("SaslHandshake has a flexible version")
	}
}

// FuzzHeader feeds whole frames to the three parsers in turn, as the reader does.
// A second reading, kmsg's, finds the same client id and body, and a header that
// kmsg writes is read as it was written. Seal makes the length fit, so that what
// follows it is tried.
func FuzzHeader(f *testing.F) {
	f.Add(frame(keyMetadata, 1, 1, []byte("body")), true)
	f.Add(frame(keyMetadata, 12, 2, []byte("body")), true)
	f.Add(frame(keyApiVersions, 99, 3, nil), true)
	f.Add([]byte("GET / HTTP/1.1\r\n"), false)
	f.Add([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, false)
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		const bytesMax, idMax = 1 << 16, 64
		if len(b) < lengthBytes+prefixBytes {
			return
		}
		if seal {
			binary.BigEndian.PutUint32(b, uint32(len(b)-lengthBytes))
		}
		n, err := parseLength([4]byte(b), true, bytesMax)
		if err != nil {
			if n != 0 || !malformed(err) {
				t.Fatalf("%d with %v", n, err)
			}
			if seal && len(b)-lengthBytes <= bytesMax {
				t.Fatalf("a right length is refused: %v", err)
			}
			return
		}
		if n < prefixBytes || n > bytesMax || n != int(binary.BigEndian.Uint32(b)) {
			t.Fatalf("length %d", n)
		}
		p := parsePrefix([8]byte(b[4:]))
		checkRest(t, p, b[lengthBytes+prefixBytes:], idMax)
	})
}

// checkRest compares what follows the prefix with kmsg's reading of it.
func checkRest(t *testing.T, p prefix, rest []byte, idMax int) {
	t.Helper()
	tagged := flexible(p.key, p.version)
	id, body, err := parseRest(rest, tagged, idMax)
	r := kbin.Reader{Src: rest}
	wantID := r.NullableString()
	if tagged {
		for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
			r.Uvarint()
			r.Span(int(r.Uvarint()))
		}
	}
	wantErr := r.Complete()
	if err != nil {
		if !malformed(err) || id != nil || body != nil {
			t.Fatalf("%q, %q with %v", id, body, err)
		}
		// Kmsg takes any length below zero for null, and client ids of any size.
		if odd := len(rest) >= 2 && int16(binary.BigEndian.Uint16(rest)) < -1 || wantID != nil && len(*wantID) > idMax; wantErr == nil && !odd {
			t.Fatalf("%v; kmsg reads it", err)
		}
		return
	}
	if wantErr != nil || (id == nil) != (wantID == nil) || id != nil && string(id) != *wantID || !bytes.Equal(body, r.Src) {
		t.Fatalf("client id %q and body %q of %q; kmsg: %v, %q", id, body, rest, wantErr, r.Src)
	}
	if len(id) > idMax || cap(id) != len(id) || !bytes.HasSuffix(rest, body) {
		t.Fatalf("client id %q with room for %d", id, cap(id))
	}
	q := kmsg.RequestForKey(p.key)
	if q == nil || p.version < 0 || p.version > q.MaxVersion() || p.key == keyControlledShutdown {
		return
	}
	q.SetVersion(p.version)
	if id == nil {
		return
	}
	wrote := kmsg.NewRequestFormatter(kmsg.FormatterClientID(string(id))).AppendRequest(nil, q, p.correlationID)
	if got := parsePrefix([8]byte(wrote[4:12])); got != p {
		t.Fatalf("%+v is written as %+v", p, got)
	}
	if got, _, err := parseRest(wrote[12:], tagged, idMax); err != nil || !bytes.Equal(got, id) {
		t.Fatalf("key %d version %d: client id %q, %v, want %q", p.key, p.version, got, err, id)
	}
}
