package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
)

// Run tests an implementation. open returns a new and empty store each time; Run
// closes it.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) {
	tests := []struct {
		name string
		test func(*testing.T, objstore.Store)
	}{
		{"PutGet", testPutGet},
		{"Replace", testReplace},
		{"Range", testRange},
		{"NotFound", testNotFound},
		{"IfAbsent", testIfAbsent},
		{"IfAbsentLarge", testIfAbsentLarge},
		{"IfAbsentRace", testIfAbsentRace},
		{"PutOnce", testPutOnce},
		{"BodyFails", testBodyFails},
		{"BodyKept", testBodyKept},
		{"Delete", testDelete},
		{"BadKeys", testBadKeys},
		{"BadArguments", testBadArguments},
		{"ListOrder", testListOrder},
		{"ListPages", testListPages},
		{"ListMany", testListMany},
		{"ListProperty", testListProperty},
		{"WholeOrNothing", testWholeOrNothing},
		{"Canceled", testCanceled},
		{"Closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := open(t)
			t.Cleanup(func() {
				if err := st.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			tt.test(t, st)
		})
	}
}

// content returns n bytes that differ by seed.
func content(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func tryPut(t *testing.T, st objstore.Store, key string, b []byte, o objstore.PutOptions) (objstore.Info, error) {
	t.Helper()
	return st.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), o)
}

func put(t *testing.T, st objstore.Store, key string, b []byte) objstore.Info {
	t.Helper()
	info, err := tryPut(t, st, key, b, objstore.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%s, %d bytes): %v", key, len(b), err)
	}
	return info
}

func get(t *testing.T, st objstore.Store, key string, off int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if err := st.GetRange(t.Context(), key, off, b); err != nil {
		t.Fatalf("GetRange(%s, %d, %d): %v", key, off, n, err)
	}
	return b
}

func wantObject(t *testing.T, st objstore.Store, key string, want []byte) {
	t.Helper()
	info, err := st.Head(t.Context(), key)
	if err != nil {
		t.Fatalf("Head(%s): %v", key, err)
	}
	if info.Size != int64(len(want)) {
		t.Fatalf("Head(%s).Size = %d, want %d", key, info.Size, len(want))
	}
	if !bytes.Equal(get(t, st, key, 0, len(want)), want) {
		t.Fatalf("%s has another content", key)
	}
}

// kinds are all the classes of errors; every error has exactly one.
var kinds = []error{
	objstore.ErrNotFound, objstore.ErrConflict, objstore.ErrShort, objstore.ErrDenied,
	objstore.ErrUnavailable, objstore.ErrInvalid, objstore.ErrBody, objstore.ErrClosed, context.Canceled,
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	n := 0
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			n++
		}
	}
	if !errors.Is(err, want) || n != 1 {
		t.Errorf("%s: error %v (of %d classes), want %v", what, err, n, want)
	}
	if objstore.Retriable(err) != errors.Is(err, objstore.ErrUnavailable) {
		t.Errorf("%s: Retriable(%v) = %v", what, err, objstore.Retriable(err))
	}
}

func keys(objects []objstore.Object) []string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = o.Key
	}
	return names
}

func list(t *testing.T, st objstore.Store, prefix, after string, limit int) []string {
	t.Helper()
	objects, err := st.List(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatalf("List(%q, %q, %d): %v", prefix, after, limit, err)
	}
	return keys(objects)
}

// readerFunc is an io.ReaderAt.
type readerFunc func(p []byte, off int64) (int, error)

func (f readerFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

var _ io.ReaderAt = readerFunc(nil)
