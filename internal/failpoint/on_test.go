//go:build failpoints

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/vfs"
)

// child is set in the process that is to die.
const child = "FAILPOINT_TEST_CHILD"

// TestDies runs itself in a process that dies at the second write.
func TestDies(t *testing.T) {
	if dir := os.Getenv(child); dir != "" {
		writeThrice(t, dir)
		return
	}
	for point, want := range map[string]string{
		"wal.write.before:2": "one", "wal.write.torn:2": "onetw", "wal.write.after:2": "onetwo!", "wal.write.torn:9,segment.done:1": "onetwo!end",
	} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestDies$")
		cmd.Env = append(os.Environ(), child+"="+dir, "VARVE_FAILPOINT="+point)
		out, _ := cmd.CombinedOutput() // how it ended is asked below
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Errorf("%s: ended with %v\n%s", point, cmd.ProcessState, out)
		}
		if !strings.Contains(string(out), "failpoint: died at ") || !strings.Contains(string(out), "wal.write.before=") {
			t.Errorf("%s: said %q", point, out)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "wal", "f")); err != nil || string(got) != want {
			t.Errorf("%s: left %q, %v, want %q", point, got, err, want)
		}
	}
}

func writeThrice(t *testing.T, dir string) {
	inner, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	fs := FS(inner, dir)
	if err := fs.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("wal/f")
	if err != nil {
		t.Fatal(err)
	}
	off := int64(0)
	for _, text := range []string{"one", "two!", "end"} {
		n, err := f.WriteAt([]byte(text), off)
		if err != nil {
			t.Fatal(err)
		}
		off += int64(n)
	}
	Hit(SegmentDone)
	t.Error("it lives")
}

func TestConfigure(t *testing.T) {
	defer func() { armed.at = nil }()
	for value, ok := range map[string]bool{
		"a.b.c:1": true, "a:1,b:2": true, "a": false, "a:0": false, "a:-1": false, "a:x": false, "a:1,": false, "": false,
	} {
		if err := configure(envPoint, value); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// open returns a data directory whose unsynced changes are kept.
func open(t *testing.T) (*faultFS, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	inner, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	armed.power, control = true, filepath.Join(t.TempDir(), "control")
	defer func() { armed.power, control = false, "" }()
	return FS(inner, dir).(*faultFS), dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestTroubleOfTheDisk(t *testing.T) {
	fs, _ := open(t)
	must(t, fs.MkdirAll("wal"))
	f, err := fs.Create("wal/f")
	must(t, err)
	obey := func(text string) { must(t, fs.trouble.obey(text)) }

	obey("capacity 8192")
	must(t, f.Preallocate(8192))
	if free, err := fs.Free(); free != 0 || err != nil {
		t.Errorf("free: %d, %v", free, err)
	}
	if _, err := f.WriteAt([]byte("x"), 8192); !errors.Is(err, vfs.ErrNoSpace) {
		t.Errorf("write beyond the capacity: %v", err)
	}
	if _, err := f.WriteAt([]byte("x"), 8191); err != nil {
		t.Errorf("write where there is space: %v", err)
	}
	must(t, f.Truncate(10))
	if _, err := f.WriteAt([]byte("x"), 100); err != nil {
		t.Errorf("write in space that was given back: %v", err)
	}
	must(t, fs.Remove("wal/f"))
	if fs.trouble.used != 0 {
		t.Errorf("%d bytes are used after the file is removed", fs.trouble.used)
	}

	obey("readonly")
	if _, err := fs.Create("wal/g"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("create on a read-only disk: %v", err)
	}
	obey("fail sync wal")
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	must(t, fs.MkdirAll("partitions"))
	obey("")
	must(t, fs.SyncAll())
	if err := fs.trouble.obey("capacity much"); err == nil {
		t.Error("nonsense is obeyed")
	}
	must(t, f.Close())
}

// The control file is read again when it changes, which is acknowledged.
func TestControlFile(t *testing.T) {
	fs, _ := open(t)
	must(t, os.WriteFile(fs.trouble.control, []byte("readonly\n"), 0o600))
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(fs.trouble.control + ".seen"); string(b) == "readonly\n" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the control file is not read")
		}
	}
	if err := fs.MkdirAll("wal"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("mkdir on a read-only disk: %v", err)
	}
}
