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
// grace is over: at most objstore.ListMax in one call. It returns how many it
// deleted, also with an error, and whether there may be more, so it is called
// until more is false, and again after an error; what is gone already is no
// error. Objects that are no segment's stay: Orphans reports them as unknown. An
// upload that was under way can put an object after the last call; that is an
// orphan. It fails as the store does, and with ErrArgument.
func DeleteTopic(ctx context.Context, store objstore.Store, cluster string, topic ident.TopicID) (deleted int, more bool, err error) {
	after := ""
	for {
		page, err := TopicObjects(ctx, store, cluster, topic, after, objstore.ListMax)
		if err != nil {
			return deleted, true, err
		}
		for _, obj := range page {
			after = obj.Key
			if _, _, err := manifest.ParseKey(cluster, obj.Key); err != nil {
				continue
			}
			if err := store.Delete(ctx, obj.Key); err != nil {
				return deleted, true, fmt.Errorf("delete the objects of topic %v: %w", topic, err)
			}
			deleted++
		}
		switch {
		case len(page) < objstore.ListMax:
			return deleted, false, nil
		case deleted > 0:
			return deleted, true, nil
		}
	}
}
