package offload_test

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
)

// Find counts the objects that are there, whole, up to the first that is not.
func TestFind(t *testing.T) {
	st := open(t, "mem://")
	var p ident.Partition
	var segments []manifest.Segment
	for i := range 3 {
		j := job(i)
		p = j.Partition
		s, err := offload.Upload(t.Context(), st, j, offload.Options{})
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, s)
	}
	find := func(want int, list []manifest.Segment) {
		t.Helper()
		if n, err := offload.Find(t.Context(), st, cluster, p, list); n != want || err != nil {
			t.Errorf("%d of %d found, want %d: %v", n, len(list), want, err)
		}
	}
	find(3, segments)
	find(0, nil)
	longer := append([]manifest.Segment(nil), segments...)
	longer[1].ObjectBytes++
	find(1, longer)
	if err := offload.Discard(t.Context(), st, segments[2].Key(cluster, p)); err != nil {
		t.Fatal(err)
	}
	find(2, segments)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := offload.Find(t.Context(), st, cluster, p, segments); n != 0 || !errors.Is(err, objstore.ErrClosed) {
		t.Errorf("%d found in a closed store: %v", n, err)
	}
}
