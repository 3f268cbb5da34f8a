package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/lint/generated"
)

// TestReferencePages holds every page of docs/reference against what this
// binary prints.
func TestReferencePages(t *testing.T) {
	for _, p := range pages() {
		got := run("", "docs", p.name)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if !strings.HasPrefix(got.out, generated.Marker(p.name)) || strings.Count(got.out, "<!-- generated") != 1 {
			t.Errorf("%s does not begin with its marker", p.name)
		}
		generated.CheckGenerated(t, "docs/reference/"+p.name+".md", []byte(got.out))
	}
}

func TestReferenceNamesEveryCommand(t *testing.T) {
	page, err := cliReference()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"serve", "plugin", "plugin push", "plugin attach", "stage set", "chain clear", "docs", "version",
		"topic create", "topic trim", "produce", "consume", "group reset", "tier status", "dump", "completion"} {
		if !bytes.Contains(page, []byte("# varve "+name+"\n\n```text\nNAME:\n   varve "+name+" - ")) {
			t.Errorf("the page lacks varve %s", name)
		}
	}
}
