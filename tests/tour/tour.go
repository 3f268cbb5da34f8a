package tour

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// heading begins the part of the README that is the tour.
const heading = "## Five minutes"

// Step is one block of commands, and what they print; Output is nil if the README
// does not show it.
type Step struct {
	Commands string
	Output   *string
}

// Root returns the repository's directory.
func Root() (string, error) {
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("where the repository is cannot be told")
	}
	return filepath.Join(filepath.Dir(self), "..", ".."), nil
}

// Steps reads the tour from the README.
func Steps(root string) ([]Step, error) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		return nil, err
	}
	_, tour, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		return nil, fmt.Errorf("the README has no %q", heading)
	}
	tour, _, _ = strings.Cut(tour, "\n## ")
	var steps []Step
	for tour != "" {
		_, rest, ok := strings.Cut(tour, "\n```")
		if !ok {
			break
		}
		kind, rest, _ := strings.Cut(rest, "\n")
		block, rest, ok := strings.Cut(rest, "\n```\n")
		if !ok {
			return nil, fmt.Errorf("a block of the tour does not end: %.60q", block)
		}
		switch {
		case kind == "sh":
			steps = append(steps, Step{Commands: block})
		case kind == "text" && len(steps) > 0 && steps[len(steps)-1].Output == nil:
			out := block + "\n"
			steps[len(steps)-1].Output = &out
		default:
			return nil, fmt.Errorf("a block of the tour is neither commands nor their output: %.60q", block)
		}
		tour = "\n" + rest
	}
	return steps, nil
}

// stepMax bounds one block of commands.
const stepMax = time.Minute

// Run pastes the tour into a shell. bin is the broker's binary, which the tour
// calls bin/varve; brokers and http are where the broker listens.
func Run(t testing.TB, bin, brokers, http string) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) < 4 {
		t.Fatalf("the tour has %d blocks of commands", len(steps))
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(dir, "bin", "varve")); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", s.Commands)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "VARVE_BROKERS="+brokers, "VARVE_HTTP="+http)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		timer := time.AfterFunc(stepMax, func() { _ = cmd.Process.Kill() })
		err := cmd.Run()
		timer.Stop()
		t.Logf("%s\n%s%s", s.Commands, stdout.String(), stderr.String())
		if err != nil {
			t.Fatalf("%v", err)
		}
		if s.Output != nil && stdout.String() != *s.Output {
			t.Fatalf("the README shows\n%s", *s.Output)
		}
	}
}
