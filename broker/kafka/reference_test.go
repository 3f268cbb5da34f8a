package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/lint/generated"
)

func TestReference(t *testing.T) {
	generated.CheckGenerated(t, "docs/reference/api-versions.md", append([]byte(generated.Marker("api-versions")), Reference()...))
}

// Every row has a note, every note a row, and kmsg knows the versions.
func TestTable(t *testing.T) {
	seen := map[int16]bool{}
	for _, a := range apis() {
		if seen[a.key] {
			t.Errorf("key %d stands twice", a.key)
		}
		seen[a.key] = true
		if _, ok := referenceNotes[a.key]; !ok {
			t.Errorf("key %d has no note", a.key)
		}
		q := kmsg.RequestForKey(a.key)
		if q == nil || a.min < 0 || a.min > a.max || a.max > q.MaxVersion() {
			t.Errorf("key %d has versions %d to %d", a.key, a.min, a.max)
		}
	}
	for key := range referenceNotes { // order: only errors show it
		if !seen[key] {
			t.Errorf("key %d has a note and no row", key)
		}
	}
}
