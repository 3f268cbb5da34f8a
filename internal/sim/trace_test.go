package sim

import (
	"fmt"
	"strings"
	"testing"
)

// What a failed run shows are its last lines, in order, without those of tasks,
// which count for the hash.
func TestTraceKeepsTheLastLines(t *testing.T) {
	tr := trace{start: begin}
	for i := range 5 * traceKept {
		tr.line(begin, "line %d", i)
		tr.line(begin, "node 1: "+taskDone+" %d done, %v", 1, nil)
	}
	have := tr.tail()
	if len(have) != traceKept {
		t.Fatalf("%d lines", len(have))
	}
	for i, s := range have {
		if want := fmt.Sprintf("line %d", 4*traceKept+i); !strings.HasSuffix(s, want) {
			t.Fatalf("line %d is %q, want %q", i, s, want)
		}
	}
	was := tr.hash
	if tr.line(begin, "%s 1 done", taskDone); tr.hash == was {
		t.Error("a task does not count")
	}
}

// A failing seed is shown by the run that it was shrunk to.
func TestReportShowsTheSmallRun(t *testing.T) {
	broken := Result{Seed: 3, Without: []string{"no such feature"}, Violation: &Violation{Checker: "plan"}, Plan: "the whole plan"}
	text := reportSmall(&broken)
	for _, want := range []string{"the whole plan", "the smallest run found that breaks plan", "VIOLATION plan", "replay it with make sim SEED=3 WITHOUT=no such feature"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}
