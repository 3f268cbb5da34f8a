package sweep

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
)

// TopicObjects lists the objects below a topic's prefix, ascending by key, from
// behind the key after, at most limit and at most objstore.ListMax of them; fewer
// mean that there are no more. It fails as the store does, and with ErrArgument.
func TopicObjects(ctx context.Context, store objstore.Store, cluster string, topic ident.TopicID, after string, limit int) ([]objstore.Object, error) {
	if cluster == "" || topic.IsZero() {
		return nil, fmt.Errorf("%w: topic %v of cluster %q", ErrArgument, topic, cluster)
	}
	page, err := store.List(ctx, manifest.TopicPrefix(cluster, topic), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list the objects of topic %v: %w", topic, err)
	}
	return page, nil
}

// DeleteTopic deletes the segments' objects of a topic that was deleted and whose
// grace is over: those in one page of the listing, from behind the key after; empty
// is the beginning. It returns how many it deleted, also with an error, and where to
// go on; empty: all was seen. So it is called until next is empty, with an error from
// next or from the beginning again; what is gone already is no error. It goes past
// what a stale listing has although it is deleted, and past objects that are no
// segment's: they stay, and Orphans reports them as unknown. An object that was not
// listed, or that an upload under way puts later, is an orphan. It fails as the store
// does, and with ErrArgument.
func DeleteTopic(ctx context.Context, store objstore.Store, cluster string, topic ident.TopicID, after string) (deleted int, next string, err error) {
	page, err := TopicObjects(ctx, store, cluster, topic, after, objstore.ListMax)
	if err != nil {
		return 0, after, err
	}
	for _, obj := range page {
		if _, _, err := manifest.ParseKey(cluster, obj.Key); err == nil {
			if err := store.Delete(ctx, obj.Key); err != nil {
				return deleted, after, fmt.Errorf("delete the objects of topic %v: %w", topic, err)
			}
			deleted++
		}
		after = obj.Key
	}
	if len(page) < objstore.ListMax {
		return deleted, "", nil
	}
	return deleted, after, nil
}
