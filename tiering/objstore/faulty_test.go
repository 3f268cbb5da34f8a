package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
)

// faultyOver wraps a new store in memory; *next is the fault of every call.
func faultyOver(t *testing.T) (st *objstore.Faulty, inner objstore.Store, next *objstore.Fault) {
	t.Helper()
	inner, next = open(t, "mem://", objstore.Options{}), &objstore.Fault{}
	return objstore.NewFaulty(inner, func(context.Context, objstore.Op) objstore.Fault { return *next }), inner, next
}

func put(st objstore.Store, key, content string, ifAbsent bool) error {
	_, err := st.Put(context.Background(), key, strings.NewReader(content), int64(len(content)), objstore.PutOptions{IfAbsent: ifAbsent})
	return err
}

func get(t *testing.T, st objstore.Store, key string) string {
	t.Helper()
	info, err := st.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size)
	if err := st.GetRange(t.Context(), key, 0, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFaultyErr(t *testing.T) {
	st, inner, next := faultyOver(t)
	next.Err = objstore.ErrDenied
	_, headErr := st.Head(t.Context(), "k")
	_, listErr := st.List(t.Context(), "", "", 1)
	for _, err := range []error{
		put(st, "k", "x", false), headErr, listErr, st.Delete(t.Context(), "k"), st.GetRange(t.Context(), "k", 0, nil),
	} {
		if !errors.Is(err, objstore.ErrDenied) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := inner.Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a failed Put was done: %v", err)
	}
}

// A lost answer of a conditional put is found out by PutOnce.
func TestFaultyLost(t *testing.T) {
	st, inner, next := faultyOver(t)
	next.Lost = true
	if err := put(st, "k", "mine", true); !objstore.Retriable(err) {
		t.Fatalf("Put: %v", err)
	}
	if got := get(t, inner, "k"); got != "mine" {
		t.Fatalf("the object is %q", got)
	}
	once := func(content string) error {
		_, err := objstore.PutOnce(t.Context(), st, "n", strings.NewReader(content), int64(len(content)))
		return err
	}
	if err := once("mine"); !objstore.Retriable(err) {
		t.Errorf("PutOnce while all answers get lost: %v", err)
	}
	next.Lost = false
	if err := once("mine"); err != nil {
		t.Errorf("PutOnce: %v", err)
	}
	if err := once("yours"); !errors.Is(err, objstore.ErrConflict) {
		t.Errorf("PutOnce of another content: %v", err)
	}
	next.Lost = true
	if err := st.Delete(t.Context(), "k"); !objstore.Retriable(err) {
		t.Errorf("Delete: %v", err)
	}
	if _, err := inner.Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Delete was not done: %v", err)
	}
}

func TestFaultyTimeout(t *testing.T) {
	for _, lost := range []bool{false, true} {
		st, inner, next := faultyOver(t)
		*next = objstore.Fault{Timeout: true, Lost: lost}
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		_, err := st.Put(ctx, "k", strings.NewReader("x"), 1, objstore.PutOptions{})
		if !objstore.Retriable(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: %v", err)
		}
		_, err = st.Put(context.Background(), "k", strings.NewReader("x"), 1, objstore.PutOptions{})
		if !objstore.Retriable(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: %v", err)
		}
		if _, err := inner.Head(t.Context(), "k"); (err == nil) != lost {
			t.Errorf("lost %v: %v", lost, err)
		}
	}
}

func TestFaultyBody(t *testing.T) {
	st, inner, next := faultyOver(t)
	const size = 300 << 10
	whole := strings.Repeat("x", size)
	var at []int64
	next.Body = func(off int64) error {
		at = append(at, off)
		if off >= 128<<10 {
			return errors.New("broken")
		}
		return nil
	}
	if err := put(st, "k", whole, false); !objstore.Retriable(err) {
		t.Errorf("Put: %v", err)
	}
	if _, err := inner.Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a broken Put was done: %v", err)
	}
	if err := put(inner, "k", whole, false); err != nil {
		t.Fatal(err)
	}
	at = nil
	into := make([]byte, size)
	if err := st.GetRange(t.Context(), "k", 0, into); !objstore.Retriable(err) {
		t.Errorf("GetRange: %v", err)
	}
	if !slices.Equal(at, []int64{0, 64 << 10, 128 << 10}) || bytes.IndexByte(into, 0) != 128<<10 {
		t.Errorf("pieces at %v, filled to %d", at, bytes.IndexByte(into, 0))
	}
}

func TestFaultyCorrupt(t *testing.T) {
	st, _, next := faultyOver(t)
	if err := put(st, "k", "abc", false); err != nil {
		t.Fatal(err)
	}
	*next = objstore.Fault{Corrupt: true, CorruptAt: 4}
	if got := get(t, st, "k"); got != "acc" {
		t.Errorf("read %q", got)
	}
	*next = objstore.Fault{}
	if got := get(t, st, "k"); got != "abc" {
		t.Errorf("read %q", got)
	}
}

func TestFaultyStale(t *testing.T) {
	st, _, next := faultyOver(t)
	for _, key := range []string{"a", "b", "c"} {
		if err := put(st, key, key, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := put(st, "b", "longer", false); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		stale, limit int
		after, want  string
	}{
		{0, 9, "", "b6 c1"},
		{1, 9, "", "b1 c1"},
		{2, 9, "", "a1 b1 c1"},
		{2, 2, "", "a1 b1"},
		{2, 9, "a", "b1 c1"},
		{3, 9, "", "a1 b1"},
		{5, 9, "", ""},
		{1000, 9, "", ""},
	}
	for _, tt := range tests {
		next.Stale = tt.stale
		objects, err := st.List(t.Context(), "", tt.after, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range objects {
			got = append(got, o.Key+string(rune('0'+o.Size)))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("stale by %d, after %q: %v, want %s", tt.stale, tt.after, got, tt.want)
		}
	}
}
