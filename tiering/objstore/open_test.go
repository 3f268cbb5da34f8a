package objstore

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestOpenRefuses(t *testing.T) {
	for _, raw := range []string{
		"", "bucket", "http://host/", "gs://bucket", "s3://", "s3:///prefix", "s3://bucket:80/",
		"s3://key:geheim@bucket/p?region=eu", "s3://b?region=eu&region=us", "s3://b?region=eu&secret=geheim",
		"s3://b?region=eu&path_style=yes", "s3://b?region=eu&checksum=md5", "s3://b/../c?region=eu", "s3://b/a//c?region=eu",
		"s3://b?endpoint=geheim", "s3://b?endpoint=ftp://u:geheim@h", "s3://b?endpoint=http://u:geheim@h", "s3://b?endpoint=http://h/path",
		"s3://b?endpoint=http://h?x=geheim", "s3://b?%zz=geheim",
		"file://host/dir", "file://", "file:relative", "file:///tmp?x=geheim", "mem://x", "mem:x", "s3:u:geheim@b", "mem:///x", "mem://?x=geheim", "mem://\x7fgeheim@",
	} {
		st, err := Open(t.Context(), raw, Options{})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("Open(%q): error %v, want %v", raw, err, ErrInvalid)
		}
		if st != nil {
			t.Errorf("Open(%q) returned a store", raw)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("Open(%q) shows a secret: %v", raw, err)
		}
	}
}

func TestParseS3URL(t *testing.T) {
	tests := []struct {
		raw  string
		want s3URL
	}{
		{"s3://b?region=eu-west-1", s3URL{bucket: "b", region: "eu-west-1", checksum: true}},
		{"s3://b/p/q/?region=r&path_style=true", s3URL{bucket: "b", base: "p/q/", region: "r", pathStyle: true, checksum: true}},
		{"s3://b/?endpoint=http://h:9000", s3URL{bucket: "b", endpoint: "http://h:9000", pathStyle: true, checksum: true}},
		{"s3://b?endpoint=https://h/&path_style=false&checksum=when_required", s3URL{bucket: "b", endpoint: "https://h/"}},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseS3URL(u); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.raw, got, err, tt.want)
		}
	}
}

func TestRedact(t *testing.T) {
	tests := map[string]string{
		"s3://b/p?region=eu":                         "s3://b/p?region=eu",
		"s3://k:geheim@b/p?region=eu&secret=geheim":  "s3://b/p?region=eu&secret=redacted",
		"s3://b?endpoint=http://u:geheim@h:9/geheim": "s3://b?endpoint=http%3A%2F%2Fh%3A9",
		"s3:u:geheim@b":                              "(not a URL)",
		"file:///dir#geheim":                         "file:///dir",
		"s3://k:geheim@b:port":                       "(not a URL)",
	}
	for raw, want := range tests {
		if got := Redact(raw); got != want {
			t.Errorf("Redact(%q) = %q, want %q", raw, got, want)
		}
	}
}

// Without a server every call is unavailable, after a bounded number of attempts,
// and says so without the credentials.
func TestS3Unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	l.Close()
	st, err := Open(t.Context(), "s3://bucket/p?endpoint="+endpoint, Options{
		AccessKey: "key-geheim", SecretKey: "geheim", SessionToken: "token-geheim", Attempts: 2, BackoffMax: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, headErr := st.Head(t.Context(), "k")
	_, listErr := st.List(t.Context(), "", "", 1)
	_, onceErr := PutOnce(t.Context(), st, "k", strings.NewReader("x"), 1)
	for what, err := range map[string]error{
		"Put": putBytes(st, "k", []byte("x"), true), "large Put": putBytes(st, "k", make([]byte, 9<<20), false),
		"Head": headErr, "List": listErr, "PutOnce": onceErr, "Delete": st.Delete(t.Context(), "k"),
		"GetRange": st.GetRange(t.Context(), "k", 0, make([]byte, 1)),
	} {
		if !Retriable(err) {
			t.Errorf("%s: error %v, want %v", what, err, ErrUnavailable)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s shows a secret: %v", what, err)
		}
	}
}

// A server that accepts and never answers ends a call at the context's deadline,
// or where the connection stalls.
func TestS3Silent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := Options{AccessKey: "k", SecretKey: "s", Attempts: 1}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	st, err := Open(t.Context(), "s3://bucket/p?endpoint=http://"+l.Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, err = st.Head(ctx, "k")
	if !Retriable(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Head: %v", err)
	}
	o.StallTimeout = 20 * time.Millisecond
	stalls, err := Open(t.Context(), "s3://bucket/p?endpoint=http://"+l.Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer stalls.Close()
	if _, err = stalls.Head(t.Context(), "k"); !Retriable(err) {
		t.Errorf("Head: %v", err)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "../a", "a/..", "/a", "a//b", ".a", "a\x00b", strings.Repeat("a", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		if len(key) > KeyBytesMax || strings.ContainsAny(key, "\\\x00%?# ") || checkPrefix(key) != nil {
			t.Fatalf("%q is a key", key)
		}
		for _, name := range strings.Split(key, "/") {
			if name == "" || strings.HasPrefix(name, ".") {
				t.Fatalf("%q is a key", key)
			}
		}
	})
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"s3://b", "s3://u:geheim@b?endpoint=http://u:p@h", "file:///x", "%zz", "s3://b?a=geheim;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		shown, err := url.Parse(Redact(raw))
		if err != nil {
			t.Fatalf("Redact(%q) is no URL: %v", raw, err)
		}
		if shown.User != nil {
			t.Fatalf("Redact(%q) shows %v of %v", raw, shown.User, u.User)
		}
	})
}
