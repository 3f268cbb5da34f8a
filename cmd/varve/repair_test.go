package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/repair"
)

// program runs this command's own binary.
type program struct {
	t    *testing.T
	path string
}

func buildProgram(t *testing.T) program {
	t.Helper()
	p := program{t, filepath.Join(t.TempDir(), "varve")}
	if out, err := exec.Command("go", "build", "-o", p.path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return p
}

// call runs the program to its end.
func (p program) call(args ...string) (out string, code int) {
	p.t.Helper()
	cmd := exec.Command(p.path, args...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// serving starts a broker and returns where it listens, and what kills it.
func (p program) serving(dir string) (address string, kill func()) {
	p.t.Helper()
	log := filepath.Join(p.t.TempDir(), "log")
	f, err := os.Create(log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(p.path, "serve", "--set", "log.dirs="+dir, "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "http.listen=127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	kill = func() { _ = cmd.Process.Kill(); <-ended }
	p.t.Cleanup(kill)
	find := regexp.MustCompile(`Kafka +PLAINTEXT://(\S+)`)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err != nil {
			p.t.Fatal(err)
		}
		if m := find.FindSubmatch(text); m != nil && bytes.Contains(text, []byte("Try it")) {
			return string(m[1]), kill
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the broker is not ready:\n%s", text)
		}
	}
}

// spoil flips bits of the first byte of some text in a file of the log.
func spoil(t *testing.T, dir, text string, bits byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			b[at] ^= bits
			if err := os.WriteFile(name, b, 0o640); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the log does not hold %q", text)
}

// TestRepairOfARealBroker goes the way of an operator: a broker is killed, its
// log is damaged, it refuses and names the command; the command reports, and
// repairs; the broker starts, and a consumer reads what is left.
func TestRepairOfARealBroker(t *testing.T) {
	p := buildProgram(t)
	dir := filepath.Join(t.TempDir(), "data")
	address, kill := p.serving(dir)
	send := func(topic, value string) {
		t.Helper()
		if got := run(value+"\n", "produce", topic, "--brokers", address); got.err != nil {
			t.Fatalf("produce: %v %s", got.err, got.notes)
		}
	}
	for _, v := range []string{"one", "two", "three-is-damaged", "four", "five"} {
		send("hurt", v)
		send("whole", v+"-too")
	}
	if out, code := p.call("repair", "--data", dir, "--accept-loss"); code != exitFailed || !strings.Contains(out, "a broker uses") {
		t.Errorf("while the broker runs, repair says %q with code %d", out, code)
	}
	kill()
	if out, code := p.call("repair", "--data", dir); code != 0 || !strings.Contains(out, "Nothing needs repair") {
		t.Fatalf("repair of a whole directory says %q with code %d", out, code)
	}
	flipped := filepath.Join(t.TempDir(), "flipped")
	if err := os.CopyFS(flipped, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	spoil(t, flipped, "three-is-damaged", 0x20)
	if out, code := p.call("repair", "--data", flipped, "--dry-run"); code != exitRepair || !strings.Contains(out, "corrected a flipped bit") {
		t.Errorf("repair of a flipped bit would say %q with code %d", out, code)
	}
	if out, code := p.call("repair", "--data", flipped); code != 0 || !strings.Contains(out, "Repaired") {
		t.Errorf("repair of a flipped bit says %q with code %d", out, code)
	}
	spoil(t, dir, "three-is-damaged", 0x21)
	out, code := p.call("serve", "--set", "log.dirs="+dir, "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "http.listen=127.0.0.1:0")
	if code != exitFailed || !strings.Contains(out, "varve repair --accept-loss") {
		t.Fatalf("serve says %q with code %d", out, code)
	}
	out, code = p.call("repair", "--data", dir, "--dry-run", "--output", "json")
	var r repair.Report
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); err != nil || code != exitRepair {
		t.Fatalf("repair says %q with code %d: %v", out, code, err)
	}
	if len(r.Partitions) != 1 || r.Partitions[0].Topic != "hurt" || r.Partitions[0].Lost == nil || r.Partitions[0].End != 2 || r.Metadata != nil {
		t.Errorf("the report is %+v", r)
	}
	if out, code = p.call("repair", "--data", dir); code != exitRepair || !strings.Contains(out, "hurt-0 ends at offset 2") {
		t.Errorf("repair says %q with code %d", out, code)
	}
	if out, code = p.call("repair", "--data", dir, "--accept-loss"); code != 0 || !strings.Contains(out, "Repaired") {
		t.Fatalf("repair says %q with code %d", out, code)
	}
	if _, err := os.Stat(filepath.Join(dir, "quarantine", "000001", "report.json")); err != nil {
		t.Error(err)
	}
	address, _ = p.serving(dir)
	send("hurt", "six")
	for topic, want := range map[string]string{"hurt": "one\ntwo\nsix\n", "whole": "one-too\ntwo-too\nthree-is-damaged-too\nfour-too\nfive-too\n"} {
		got := run("", "consume", topic, "--until", "end", "--brokers", address)
		if got.err != nil || got.out != want {
			t.Errorf("%s holds %q, want %q (%v)", topic, got.out, want, got.err)
		}
	}
}

func TestRepairArguments(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"argument", []string{"repair", "varve-data"}, "takes no arguments"},
		{"no directory", []string{"repair", "--data", "/nonexistent/varve"}, "is no data directory"},
		{"no identity", []string{"repair", "--data", t.TempDir()}, "has no identity"},
		{"format", []string{"repair", "--output", "xml"}, "is not known"},
	} {
		got := run("", tt.args...)
		if got.err == nil || !strings.Contains(got.err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, got.err)
		}
	}
}
