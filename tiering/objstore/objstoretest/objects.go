package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
)

// large is more than two of the least parts in which S3 takes an object.
const large = 11<<20 + 77

func testPutGet(t *testing.T, st objstore.Store) {
	for i, n := range []int{0, 1, 4096, 1<<20 + 1, large} {
		key, b := fmt.Sprintf("a/b=%d/object.seg", i), content(uint64(i), n)
		info := put(t, st, key, b)
		if info.Size != int64(n) {
			t.Errorf("Put of %d bytes: Size = %d", n, info.Size)
		}
		head, err := st.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if head.ETag == "" || head.ETag != info.ETag || head.Modified.IsZero() {
			t.Errorf("Put of %d bytes: Head = %+v, Put = %+v", n, head, info)
		}
		wantObject(t, st, key, b)
	}
}

func testReplace(t *testing.T, st objstore.Store) {
	first := put(t, st, "k", content(1, 5000))
	second := put(t, st, "k", content(2, 300))
	wantObject(t, st, "k", content(2, 300))
	if first.ETag == second.ETag {
		t.Errorf("both versions have the ETag %s", first.ETag)
	}
	put(t, st, "k", content(3, large))
	wantObject(t, st, "k", content(3, large))
}

func testRange(t *testing.T, st objstore.Store) {
	b := content(7, 100_000)
	put(t, st, "k", b)
	tests := []struct {
		off  int64
		n    int
		want error
	}{
		{0, 1, nil}, {0, 100_000, nil}, {99_999, 1, nil}, {12_345, 54_321, nil}, {500, 0, nil}, {100_000, 0, nil},
		{0, 100_001, objstore.ErrShort}, {99_999, 2, objstore.ErrShort}, {100_000, 1, objstore.ErrShort},
		{100_001, 0, objstore.ErrShort}, {1 << 40, 10, objstore.ErrShort},
		{-1, 1, objstore.ErrInvalid}, {math.MaxInt64, 2, objstore.ErrInvalid},
	}
	for _, tt := range tests {
		what := fmt.Sprintf("GetRange(%d, %d)", tt.off, tt.n)
		into := make([]byte, tt.n)
		err := st.GetRange(t.Context(), "k", tt.off, into)
		if tt.want != nil {
			wantErr(t, what, err, tt.want)
			continue
		}
		if err != nil || !bytes.Equal(into, b[tt.off:int(tt.off)+tt.n]) {
			t.Errorf("%s: error %v, or other bytes", what, err)
		}
	}
	put(t, st, "empty", nil)
	if err := st.GetRange(t.Context(), "empty", 0, nil); err != nil {
		t.Errorf("GetRange of nothing: %v", err)
	}
	wantErr(t, "GetRange of an empty object", st.GetRange(t.Context(), "empty", 0, make([]byte, 1)), objstore.ErrShort)
}

func testNotFound(t *testing.T, st objstore.Store) {
	put(t, st, "a/b", []byte("x"))
	for _, key := range []string{"c", "a", "a/c", "a/b/c", "d/e/f"} {
		_, err := st.Head(t.Context(), key)
		wantErr(t, "Head "+key, err, objstore.ErrNotFound)
		wantErr(t, "GetRange "+key, st.GetRange(t.Context(), key, 0, make([]byte, 1)), objstore.ErrNotFound)
		wantErr(t, "GetRange of nothing "+key, st.GetRange(t.Context(), key, 0, nil), objstore.ErrNotFound)
	}
}

func testIfAbsent(t *testing.T, st objstore.Store) {
	absent := objstore.PutOptions{IfAbsent: true}
	if _, err := tryPut(t, st, "m/1", []byte("first"), absent); err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{"second", "first", ""} {
		_, err := tryPut(t, st, "m/1", []byte(b), absent)
		wantErr(t, "second Put", err, objstore.ErrConflict)
	}
	wantObject(t, st, "m/1", []byte("first"))
	if err := st.Delete(t.Context(), "m/1"); err != nil {
		t.Fatal(err)
	}
	if _, err := tryPut(t, st, "m/1", []byte("again"), absent); err != nil {
		t.Errorf("Put after Delete: %v", err)
	}
	wantObject(t, st, "m/1", []byte("again"))
}

func testIfAbsentLarge(t *testing.T, st objstore.Store) {
	absent := objstore.PutOptions{IfAbsent: true}
	if _, err := tryPut(t, st, "s/1", content(1, large), absent); err != nil {
		t.Fatal(err)
	}
	_, err := tryPut(t, st, "s/1", content(2, large), absent)
	wantErr(t, "second Put", err, objstore.ErrConflict)
	wantObject(t, st, "s/1", content(1, large))
}

func testIfAbsentRace(t *testing.T, st objstore.Store) {
	const rounds, writers = 10, 8
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for i := range writers {
			wg.Go(func() {
				_, errs[i] = tryPut(t, st, key, content(uint64(i), 1000+i), objstore.PutOptions{IfAbsent: true})
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Fatalf("writers %d and %d both made %s", winner, i, key)
			default:
				wantErr(t, "the loser", err, objstore.ErrConflict)
			}
		}
		if winner < 0 {
			t.Fatalf("nobody made %s", key)
		}
		wantObject(t, st, key, content(uint64(winner), 1000+winner))
	}
}

func testPutOnce(t *testing.T, st objstore.Store) {
	once := func(b []byte) error {
		_, err := objstore.PutOnce(t.Context(), st, "n/1", bytes.NewReader(b), int64(len(b)))
		return err
	}
	mine := content(1, 600_000)
	for range 2 {
		if err := once(mine); err != nil {
			t.Fatal(err)
		}
	}
	other := bytes.Clone(mine)
	other[599_999] ^= 1
	wantErr(t, "another content", once(other), objstore.ErrConflict)
	wantErr(t, "another size", once(mine[:599_999]), objstore.ErrConflict)
	wantObject(t, st, "n/1", mine)
}

var errDisk = errors.New("the disk is gone")

func testBodyFails(t *testing.T, st objstore.Store) {
	put(t, st, "old", []byte("old"))
	whole := bytes.NewReader(content(1, large))
	fails := readerFunc(func(p []byte, off int64) (int, error) {
		if off+int64(len(p)) > large/2 {
			return 0, errDisk
		}
		return whole.ReadAt(p, off)
	})
	short := bytes.NewReader(content(1, large/2))
	for _, o := range []objstore.PutOptions{{}, {IfAbsent: true}} {
		for _, size := range []int64{large, large/2 + 1} {
			_, err := st.Put(t.Context(), "new", fails, size, o)
			wantErr(t, "Put", err, objstore.ErrBody)
			if !errors.Is(err, errDisk) {
				t.Errorf("Put: error %v, want the body's", err)
			}
			_, err = st.Put(t.Context(), "new", short, size, o)
			wantErr(t, "Put", err, objstore.ErrBody)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Put: error %v, want %v", err, io.ErrUnexpectedEOF)
			}
		}
	}
	if _, err := st.Put(t.Context(), "old", fails, large, objstore.PutOptions{}); err == nil {
		t.Error("Put over an object: no error")
	}
	wantObject(t, st, "old", []byte("old"))
	if got := list(t, st, "", "", 10); len(got) != 1 {
		t.Errorf("failed puts left %v", got)
	}
}

// testBodyKept sees whether a body is used after Put returned: the race detector
// does, and the store's content.
func testBodyKept(t *testing.T, st objstore.Store) {
	for _, n := range []int{1000, large} {
		b := content(1, n)
		put(t, st, "k", b)
		clear(b)
		wantObject(t, st, "k", content(1, n))
	}
}

func testDelete(t *testing.T, st objstore.Store) {
	for i := range 5 {
		put(t, st, fmt.Sprintf("a/%d", i), []byte("x"))
	}
	if err := st.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if err := st.Delete(t.Context(), "a/1", "missing", "a/missing", "a", "a/0/x", "a/3", "a/3"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(list(t, st, "", "", 10), " "); got != "a/0 a/2 a/4" {
		t.Errorf("left are %s", got)
	}
	_, err := st.Head(t.Context(), "a/1")
	wantErr(t, "Head", err, objstore.ErrNotFound)
	wantErr(t, "Delete of a bad key", st.Delete(t.Context(), "a/0", "../a/2"), objstore.ErrInvalid)
	wantObject(t, st, "a/0", []byte("x"))
}

func testBadKeys(t *testing.T, st objstore.Store) {
	bad := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", ".hidden", "a/.b", "a b", "a\\b", "a\x00b",
		"a\nb", "ä", "a?b", "a#b", "a%2e", "a:b", "*", "~", "\xff", strings.Repeat("a", 201), strings.Repeat("a/", 256) + "a",
	}
	for _, key := range bad {
		_, err := tryPut(t, st, key, []byte("x"), objstore.PutOptions{})
		wantErr(t, fmt.Sprintf("Put(%q)", key), err, objstore.ErrInvalid)
		_, err = st.Head(t.Context(), key)
		wantErr(t, fmt.Sprintf("Head(%q)", key), err, objstore.ErrInvalid)
		wantErr(t, fmt.Sprintf("GetRange(%q)", key), st.GetRange(t.Context(), key, 0, nil), objstore.ErrInvalid)
		wantErr(t, fmt.Sprintf("Delete(%q)", key), st.Delete(t.Context(), key), objstore.ErrInvalid)
	}
	for _, key := range []string{"..a/b", "a/..", "/", "//", "../"} {
		_, err := st.List(t.Context(), key, "", 1)
		wantErr(t, fmt.Sprintf("List(%q)", key), err, objstore.ErrInvalid)
		_, err = st.List(t.Context(), "", key, 1)
		wantErr(t, fmt.Sprintf("List(after %q)", key), err, objstore.ErrInvalid)
	}
	longest := strings.Repeat(strings.Repeat("k", 127)+"/", 3) + strings.Repeat("k", 128)
	for _, key := range []string{longest, "a..b/c.", "-_.=", "A/0/z", strings.Repeat("n", 200)} {
		put(t, st, key, []byte(key))
		wantObject(t, st, key, []byte(key))
	}
}

func testBadArguments(t *testing.T, st objstore.Store) {
	_, err := st.Put(t.Context(), "k", bytes.NewReader(nil), -1, objstore.PutOptions{})
	wantErr(t, "Put of -1 bytes", err, objstore.ErrInvalid)
	_, err = st.Put(t.Context(), "k", bytes.NewReader(nil), math.MaxInt64, objstore.PutOptions{})
	wantErr(t, "Put of too much", err, objstore.ErrInvalid)
	for _, limit := range []int{0, -1} {
		_, err = st.List(t.Context(), "", "", limit)
		wantErr(t, "List", err, objstore.ErrInvalid)
	}
}

func testWholeOrNothing(t *testing.T, st objstore.Store) {
	const writers, rounds, size = 3, 5, 300_000
	put(t, st, "k", bytes.Repeat([]byte{'a'}, size))
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	for i := range writers {
		writing.Go(func() {
			for range rounds {
				b := bytes.Repeat([]byte{byte('b' + i)}, size)
				if _, err := tryPut(t, st, "k", b, objstore.PutOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	reading.Go(func() {
		into := make([]byte, size)
		for {
			if err := st.GetRange(t.Context(), "k", 0, into); err != nil {
				t.Error(err)
				return
			}
			if !bytes.Equal(into, bytes.Repeat(into[:1], size)) {
				t.Error("read a mixture of two versions")
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	writing.Wait()
	close(stop)
	reading.Wait()
}

func testCanceled(t *testing.T, st objstore.Store) {
	put(t, st, "k", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := st.Put(ctx, "new", bytes.NewReader([]byte("x")), 1, objstore.PutOptions{})
	wantErr(t, "Put", err, context.Canceled)
	_, err = st.Head(ctx, "k")
	wantErr(t, "Head", err, context.Canceled)
	_, err = st.List(ctx, "", "", 1)
	wantErr(t, "List", err, context.Canceled)
	wantErr(t, "GetRange", st.GetRange(ctx, "k", 0, make([]byte, 1)), context.Canceled)
	wantErr(t, "Delete", st.Delete(ctx, "k"), context.Canceled)
	wantObject(t, st, "k", []byte("x"))

	// In the middle of a body.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	whole := bytes.NewReader(content(1, large))
	_, err = st.Put(ctx, "new", readerFunc(func(p []byte, off int64) (int, error) {
		if off > large/2 {
			cancel()
		}
		return whole.ReadAt(p, off)
	}), large, objstore.PutOptions{})
	wantErr(t, "Put", err, context.Canceled)
	_, err = st.Head(t.Context(), "new")
	wantErr(t, "Head", err, objstore.ErrNotFound)
}

func testClosed(t *testing.T, st objstore.Store) {
	put(t, st, "k", []byte("x"))
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	_, err := tryPut(t, st, "k", nil, objstore.PutOptions{})
	wantErr(t, "Put", err, objstore.ErrClosed)
	_, err = st.Head(t.Context(), "k")
	wantErr(t, "Head", err, objstore.ErrClosed)
	_, err = st.List(t.Context(), "", "", 1)
	wantErr(t, "List", err, objstore.ErrClosed)
	wantErr(t, "GetRange", st.GetRange(t.Context(), "k", 0, make([]byte, 1)), objstore.ErrClosed)
	wantErr(t, "Delete", st.Delete(t.Context(), "k"), objstore.ErrClosed)
}
