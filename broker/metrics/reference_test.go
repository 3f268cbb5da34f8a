package metrics

import (
	"testing"

	"github.com/varvelog/varve/internal/lint/generated"
)

func TestReference(t *testing.T) {
	generated.CheckGenerated(t, "docs/reference/metrics.md", append([]byte(generated.Marker("metrics")), Reference()...))
}

func TestTable(t *testing.T) {
	if err := table.Check(); err != nil {
		t.Error(err)
	}
}
