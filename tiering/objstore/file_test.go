package objstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func openFileStore(t *testing.T, dir string) *fileStore {
	t.Helper()
	st, err := Open(t.Context(), "file://"+filepath.ToSlash(dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st.(*fileStore)
}

func putBytes(st Store, key string, b []byte, ifAbsent bool) error {
	_, err := st.Put(context.Background(), key, bytes.NewReader(b), int64(len(b)), PutOptions{IfAbsent: ifAbsent})
	return err
}

func temps(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestFileStops ends a put with an error, or the process as it were, at each of
// its steps: the old object or the new one is there, whole, and nothing else.
func TestFileStops(t *testing.T) {
	type crash struct{}
	old, body := []byte("old"), bytes.Repeat([]byte("new"), copyBytes)
	for _, step := range []string{"write", "sync", "name", "sync directory"} {
		for _, ifAbsent := range []bool{false, true} {
			for _, crashes := range []bool{false, true} {
				dir := t.TempDir()
				st := openFileStore(t, dir)
				if !ifAbsent {
					if err := putBytes(st, "a/k", old, false); err != nil {
						t.Fatal(err)
					}
				}
				reached := false
				st.step = func(name string) error {
					if name != step {
						return nil
					}
					reached = true
					if crashes {
						panic(crash{})
					}
					return syscall.ENOSPC
				}
				func() {
					defer func() {
						if r := recover(); (r != nil) != crashes {
							t.Fatalf("at %s: %v", step, r)
						}
					}()
					if err := putBytes(st, "a/k", body, ifAbsent); !Retriable(err) {
						t.Errorf("at %s: error %v, want %v", step, err, ErrUnavailable)
					}
				}()
				if !reached {
					t.Fatalf("a put has no step %s", step)
				}
				st.Close()
				checkStopped(t, openFileStore(t, dir), dir, old, body, ifAbsent, step)
			}
		}
	}
}

func checkStopped(t *testing.T, st *fileStore, dir string, old, body []byte, ifAbsent bool, step string) {
	t.Helper()
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("after a stop at %s %v is left", step, left)
	}
	info, err := st.Head(t.Context(), "a/k")
	switch {
	case errors.Is(err, ErrNotFound) && ifAbsent:
	case err != nil:
		t.Errorf("after a stop at %s: %v", step, err)
	case info.Size == int64(len(old)) && !ifAbsent:
	default:
		got := make([]byte, len(body))
		if err := st.GetRange(t.Context(), "a/k", 0, got); err != nil || info.Size != int64(len(body)) || !bytes.Equal(got, body) {
			t.Errorf("after a stop at %s: %v, or another content", step, err)
		}
		if step != "sync directory" {
			t.Errorf("a stop at %s shows the new object", step)
		}
	}
	if err := putBytes(st, "a/k2", body, true); err != nil {
		t.Errorf("after a stop at %s: %v", step, err)
	}
}

// A name that could not be made durable must not answer the next put.
func TestFileFailedSyncOfNewName(t *testing.T) {
	st := openFileStore(t, t.TempDir())
	st.step = func(name string) error {
		if name == "sync directory" {
			return syscall.EIO
		}
		return nil
	}
	if err := putBytes(st, "k", []byte("x"), true); !Retriable(err) {
		t.Fatalf("Put: %v", err)
	}
	st.step = nil
	if err := putBytes(st, "k", []byte("x"), true); err != nil {
		t.Errorf("Put again: %v", err)
	}
}

func TestFileTemps(t *testing.T) {
	dir := t.TempDir()
	first := openFileStore(t, dir)
	stale := filepath.Join(dir, tempDir, "stale")
	if err := os.WriteFile(stale, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Another store may be writing it.
	second := openFileStore(t, dir)
	if got := temps(t, dir); !slices.Equal(got, []string{"stale"}) {
		t.Errorf("a second Open left %v", got)
	}
	if objects, err := second.List(t.Context(), "", "", 10); err != nil || len(objects) != 0 {
		t.Errorf("List = %v, %v", objects, err)
	}
	first.Close()
	second.Close()
	openFileStore(t, dir)
	if got := temps(t, dir); len(got) != 0 {
		t.Errorf("an Open after all left %v", got)
	}
}

func TestFileStaysInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	st := openFileStore(t, dir)
	for name, target := range map[string]string{"out": outside, "file": filepath.Join(outside, "secret")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"out/secret", "file"} {
		if err := st.GetRange(t.Context(), key, 0, make([]byte, 1)); !errors.Is(err, ErrDenied) {
			t.Errorf("GetRange(%s): %v", key, err)
		}
		if _, err := st.Head(t.Context(), key); !errors.Is(err, ErrDenied) {
			t.Errorf("Head(%s): %v", key, err)
		}
	}
	if err := putBytes(st, "out/new", []byte("x"), false); !errors.Is(err, ErrDenied) {
		t.Errorf("Put: %v", err)
	}
	if err := st.Delete(t.Context(), "out/secret"); !errors.Is(err, ErrDenied) {
		t.Errorf("Delete: %v", err)
	}
	if objects, err := st.List(t.Context(), "", "", 10); err != nil || len(objects) != 0 {
		t.Errorf("List = %v, %v", objects, err)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(b) != "secret" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

// Directories cannot hold "a" and "a/b", whichever comes first.
func TestFileKeyBelowKey(t *testing.T) {
	for _, ifAbsent := range []bool{false, true} {
		st := openFileStore(t, t.TempDir())
		for _, key := range []string{"a", "b/c"} {
			if err := putBytes(st, key, nil, ifAbsent); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"a/b", "a/b/c", "b"} {
			if err := putBytes(st, key, nil, ifAbsent); !errors.Is(err, ErrInvalid) {
				t.Errorf("Put(%s): error %v, want %v", key, err, ErrInvalid)
			}
		}
	}
}

// A directory that someone removes is made again.
func TestFileDirectoryRemoved(t *testing.T) {
	dir := t.TempDir()
	st := openFileStore(t, dir)
	for _, ifAbsent := range []bool{false, true} {
		if err := putBytes(st, "a/b/k", []byte("x"), ifAbsent); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := putBytes(st, "a/b/k", []byte("x"), true); err != nil {
		t.Fatal(err)
	}
}

func TestFileReopen(t *testing.T) {
	dir := t.TempDir()
	st := openFileStore(t, dir)
	if err := putBytes(st, "a/k", []byte("kept"), true); err != nil {
		t.Fatal(err)
	}
	before, err := st.Head(t.Context(), "a/k")
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	st = openFileStore(t, dir)
	after, err := st.Head(t.Context(), "a/k")
	if err != nil || after.ETag != before.ETag {
		t.Errorf("Head = %+v, %v, want %+v", after, err, before)
	}
	if err := putBytes(st, "a/k", nil, true); !errors.Is(err, ErrConflict) {
		t.Errorf("Put: %v", err)
	}
}

// More names in one directory than a listing holds at once.
func TestFileListHugeDirectory(t *testing.T) {
	dir := t.TempDir()
	st := openFileStore(t, dir)
	var want []string
	for i := range namesMax + 700 {
		key := "d" + string(rune('0'+i%10)) + "-" + string(rune('a'+i/10%26)) + string(rune('a'+i/260%26))
		want = append(want, key)
		if err := os.WriteFile(filepath.Join(dir, key), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := st.List(t.Context(), "", after, 900)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			got = append(got, o.Key)
		}
		if len(page) < 900 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d names, want %d, or in another order", len(got), len(want))
	}
}
