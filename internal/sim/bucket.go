package sim

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
)

// bucket is the object store as the product's own code sees it, in one instant:
// what deletes objects runs on it. Its listings are stale, both ways.
type bucket struct {
	st   *store
	left int // deletions until it fails
}

var _ objstore.Store = (*bucket)(nil)

// List implements objstore.Store. A listing may lack what was put a moment ago,
// and have what was deleted a moment ago.
func (b *bucket) List(_ context.Context, prefix, after string, limit int) ([]objstore.Object, error) {
	st, s := b.st, b.st.s
	stale := !s.ending && s.plan.storeFails > 0
	var out []objstore.Object
	add := func(o *object) {
		if strings.HasPrefix(o.key, prefix) && o.key > after {
			out = append(out, objstore.Object{Key: o.key, Size: int64(len(o.raw)), Modified: o.stored})
		}
	}
	for _, o := range st.sorted() {
		if stale && s.now.Sub(o.stored) < staleFor && strings.HasPrefix(o.key, prefix) && s.rng.tier.IntN(4) == 0 {
			s.log("store: a stale listing lacks %s", o.key)
			s.stats.Stale++
			o.unlisted = true // nobody looks again
			continue
		}
		add(o)
	}
	st.gone = slices.DeleteFunc(st.gone, func(g ghost) bool { return s.now.Sub(g.since) >= staleFor })
	for _, g := range st.gone {
		if stale && strings.HasPrefix(g.key, prefix) && st.objects[g.segment.ID] == nil && s.rng.tier.IntN(2) == 0 {
			s.log("store: a stale listing has %s, which is deleted", g.key)
			s.stats.Stale++
			add(g.object)
		}
	}
	slices.SortFunc(out, func(a, b objstore.Object) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(len(out), limit)], nil
}

// Delete implements objstore.Store. What is not there is deleted as well.
func (b *bucket) Delete(_ context.Context, keys ...string) error {
	for _, key := range keys {
		if b.left--; b.left < 0 {
			return errStore
		}
		_, seg, err := manifest.ParseKey("sim", key)
		if err != nil {
			return fmt.Errorf("%w: delete %s: %w", objstore.ErrInvalid, key, err)
		}
		b.st.remove(seg.ID)
	}
	return nil
}

// Put implements objstore.Store. Nothing that runs on a bucket puts.
func (b *bucket) Put(context.Context, string, io.ReaderAt, int64, objstore.PutOptions) (objstore.Info, error) {
	return objstore.Info{}, objstore.ErrInvalid
}

// GetRange implements objstore.Store. Nothing that runs on a bucket reads.
func (b *bucket) GetRange(context.Context, string, int64, []byte) error { return objstore.ErrInvalid }

// Head implements objstore.Store.
func (b *bucket) Head(_ context.Context, key string) (objstore.Info, error) {
	_, seg, err := manifest.ParseKey("sim", key)
	if err != nil {
		return objstore.Info{}, fmt.Errorf("%w: look for %s: %w", objstore.ErrInvalid, key, err)
	}
	o := b.st.objects[seg.ID]
	if o == nil || o.key != key {
		return objstore.Info{}, objstore.ErrNotFound
	}
	return objstore.Info{Size: int64(len(o.raw))}, nil
}

// Close implements objstore.Store.
func (b *bucket) Close() error { return nil }
