package offload

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
)

// Find looks for the objects of a partition's segments, in order, until one is not
// there, and returns how many are. One of another length is not. An error, with
// those that were found before it, says that the store could not tell.
func Find(ctx context.Context, store objstore.Store, cluster string, p ident.Partition, segments []manifest.Segment) (int, error) {
	for i := range segments {
		key := segments[i].Key(cluster, p)
		switch info, err := store.Head(ctx, key); {
		case errors.Is(err, objstore.ErrNotFound):
			return i, nil
		case err != nil:
			return i, fmt.Errorf("look for %s: %w", key, err)
		case info.Size != segments[i].ObjectBytes:
			return i, nil
		}
	}
	return len(segments), nil
}
