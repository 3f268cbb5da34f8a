package s3gw

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/tiering/objstore"
)

const large = 12 << 20

func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(b) // never fails
	return b
}

// through opens a store behind a proxy, and the same objects without it.
func through(t *testing.T, o objstore.Options, decide func(kind string, n int) fault) (faulty, direct objstore.Store) {
	t.Helper()
	directURL := storeURL(server.endpoint, nil)
	direct = open(t, directURL, options()) // makes the bucket
	o.CreateBucket = false
	path, _, _ := strings.Cut(directURL, "?")
	_, query, _ := strings.Cut(storeURL(proxy(t, decide), nil), "?")
	return open(t, path+"?"+query, o), direct
}

func wantObject(t *testing.T, st objstore.Store, key string, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := st.GetRange(t.Context(), key, 0, got); err != nil {
		t.Fatal(err)
	}
	if info, err := st.Head(t.Context(), key); err != nil || info.Size != int64(len(want)) || !bytes.Equal(got, want) {
		t.Fatalf("%s is another object: %+v, %v", key, info, err)
	}
}

func put(st objstore.Store, key string, b []byte, ifAbsent bool) error {
	_, err := st.Put(context.Background(), key, bytes.NewReader(b), int64(len(b)), objstore.PutOptions{IfAbsent: ifAbsent})
	return err
}

// A conditional put whose answer is lost is not a conflict with itself, whether
// the SDK sends it again or gives up.
func TestLostAnswerOfConditionalPut(t *testing.T) {
	tests := []struct {
		name, kind string
		size       int
		attempts   int
	}{
		{"whole, sent again", "PUT", 1000, 4},
		{"whole, not sent again", "PUT", 1000, 1},
		{"multipart, sent again", "complete", large, 4},
		{"multipart, not sent again", "complete", large, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Attempts = tt.attempts
			lost := 0
			st, direct := through(t, o, func(kind string, n int) fault {
				if kind == tt.kind && n == 1 {
					lost++
					return fault{lost: true}
				}
				return fault{}
			})
			if err := put(st, "k", content(tt.size), true); err != nil {
				t.Fatalf("Put: %v", err)
			}
			if lost != 1 {
				t.Fatalf("%d answers were lost", lost)
			}
			wantObject(t, direct, "k", content(tt.size))
			if err := put(st, "k", []byte("other"), true); !errors.Is(err, objstore.ErrConflict) {
				t.Errorf("second Put: %v", err)
			}
		})
	}
}

// A put that was not done, or is not known to be, is unavailable and may be
// repeated; where someone else's object stands it is a conflict.
func TestFailedConditionalPut(t *testing.T) {
	o := options()
	o.Attempts = 2
	st, direct := through(t, o, func(kind string, n int) fault {
		if kind == "PUT" {
			return fault{status: 503, code: "SlowDown"}
		}
		return fault{}
	})
	if err := put(st, "k", []byte("mine"), true); !objstore.Retriable(err) {
		t.Errorf("Put: %v", err)
	}
	if err := put(direct, "k", []byte("theirs"), true); err != nil {
		t.Fatal(err)
	}
	if err := put(st, "k", []byte("mine"), true); !errors.Is(err, objstore.ErrConflict) {
		t.Errorf("Put: %v", err)
	}
	wantObject(t, direct, "k", []byte("theirs"))
}

func TestFailuresThatPass(t *testing.T) {
	faults := []fault{
		{status: 503, code: "SlowDown"}, {status: 500, code: "InternalError"}, {status: 429, code: "TooManyRequests"}, {lost: true},
	}
	for _, f := range faults {
		o := options()
		st, direct := through(t, o, func(kind string, n int) fault {
			if n <= 2 {
				return f
			}
			return fault{}
		})
		if err := put(st, "k", content(large), false); err != nil {
			t.Errorf("%+v: Put: %v", f, err)
			continue
		}
		wantObject(t, direct, "k", content(large))
		wantObject(t, st, "k", content(large))
		if objects, err := st.List(t.Context(), "", "", 10); err != nil || len(objects) != 1 {
			t.Errorf("%+v: List = %v, %v", f, objects, err)
		}
		if err := st.Delete(t.Context(), "k"); err != nil {
			t.Errorf("%+v: Delete: %v", f, err)
		}
	}
}

// A multipart upload that fails leaves neither an object nor parts.
func TestFailedPartAborts(t *testing.T) {
	o := options()
	o.Attempts = 2
	aborts := 0
	st, direct := through(t, o, func(kind string, n int) fault {
		switch {
		case kind == "part" && n >= 2:
			return fault{status: 500, code: "InternalError"}
		case kind == "abort":
			aborts++
		}
		return fault{}
	})
	if err := put(st, "k", content(large), false); !objstore.Retriable(err) {
		t.Fatalf("Put: %v", err)
	}
	if aborts != 1 {
		t.Errorf("%d uploads were ended", aborts)
	}
	if _, err := direct.Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Head: %v", err)
	}
	if n, err := objstore.AbortUploads(t.Context(), direct, time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d uploads were left, %v", n, err)
	}
}

// What even the abort left behind is found later.
func TestAbortUploads(t *testing.T) {
	o := options()
	o.Attempts = 1
	st, direct := through(t, o, func(kind string, n int) fault {
		if kind == "part" || kind == "abort" {
			return fault{status: 403, code: "AccessDenied"}
		}
		return fault{}
	})
	if err := put(st, "k", content(large), false); !errors.Is(err, objstore.ErrDenied) {
		t.Fatalf("Put: %v", err)
	}
	if n, err := objstore.AbortUploads(t.Context(), direct, time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("%d young uploads were ended, %v", n, err)
	}
	n, err := objstore.AbortUploads(t.Context(), direct, time.Now().Add(time.Hour))
	// MinIO lists unfinished uploads by whole key only, and ends them by itself.
	if unlisted := n == 0 && server.external; err != nil || n != 1 && !unlisted {
		t.Errorf("%d uploads were ended, %v", n, err)
	}
}

// A body that breaks off is continued where it broke, and not without end: four
// answers of 300,000 bytes are enough for 1 MiB, and not for 2.
func TestBrokenBodies(t *testing.T) {
	o := options()
	o.Attempts = 4
	st, direct := through(t, o, func(kind string, n int) fault {
		if kind == "GET" {
			return fault{cut: 300_000}
		}
		return fault{}
	})
	want := content(2 << 20)
	if err := put(direct, "k", want, false); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<20)
	if err := st.GetRange(t.Context(), "k", 5, got); err != nil || !bytes.Equal(got, want[5:5+len(got)]) {
		t.Fatalf("GetRange: %v, or other bytes", err)
	}
	if err := st.GetRange(t.Context(), "k", 0, make([]byte, len(want))); !objstore.Retriable(err) {
		t.Fatalf("GetRange: %v", err)
	}
}

func TestDenied(t *testing.T) {
	open(t, storeURL(server.endpoint, nil), options()) // makes the bucket
	o := options()
	o.CreateBucket = false
	o.SecretKey = "this-is-a-wrong-secret"
	st := open(t, storeURL(server.endpoint, nil), o)
	_, headErr := st.Head(t.Context(), "k")
	_, listErr := st.List(t.Context(), "", "", 1)
	for _, err := range []error{put(st, "k", nil, true), headErr, listErr, st.Delete(t.Context(), "k")} {
		if !errors.Is(err, objstore.ErrDenied) || objstore.Retriable(err) {
			t.Errorf("error %v, want %v", err, objstore.ErrDenied)
		}
		if err != nil && (strings.Contains(err.Error(), o.SecretKey) || strings.Contains(err.Error(), o.AccessKey)) {
			t.Errorf("the error shows credentials: %v", err)
		}
	}
}

// A missing bucket must not look like missing objects.
func TestNoBucket(t *testing.T) {
	o := options()
	o.CreateBucket = false
	rawURL := strings.Replace(storeURL(server.endpoint, nil), "s3://"+server.bucket, "s3://no-such-bucket", 1)
	st := open(t, rawURL, o)
	_, listErr := st.List(t.Context(), "", "", 1)
	getErr := st.GetRange(t.Context(), "k", 0, make([]byte, 1))
	for _, err := range []error{put(st, "k", nil, false), listErr, getErr} {
		if !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("error %v, want %v", err, objstore.ErrInvalid)
		}
	}
}

func TestChecksum(t *testing.T) {
	st := open(t, storeURL(server.endpoint, nil), options())
	for _, n := range []int{9, large} {
		info, err := st.Put(t.Context(), "k", bytes.NewReader(content(n)), int64(n), objstore.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		head, err := st.Head(t.Context(), "k")
		if err != nil || head.Checksum != info.Checksum || !strings.HasPrefix(head.Checksum, "crc32c:") {
			t.Errorf("%d bytes: Put has checksum %q, Head %q, %v", n, info.Checksum, head.Checksum, err)
		}
	}
}
