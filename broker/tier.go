package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
	"github.com/varvelog/varve/tiering/remote"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/sweep"
)

// Times of the cold tier's upkeep.
const (
	uploadsAbandonedAfter = 24 * time.Hour // unfinished uploads of an earlier life
	cacheExpireEvery      = 10 * time.Second
	deleteTimeout         = 5 * time.Minute // of one page of deletions
	findTimeout           = time.Minute     // of looking for some objects
)

// tierHost does in the object store what the node decides, and reads back what
// is there. Work on the store has workers of its own, so that a store that is
// slow or down never slows produce or readers of the tail (D12).
type tierHost struct {
	b          *Broker
	store      objstore.Store
	reader     *remote.Reader
	uploadRate *offload.Rate
	readRate   *offload.Rate
	stats      offload.Stats
	writers    *workers // uploads
	deleter    *workers
	finder     *workers
	lookups    *workers // of timestamps
	readers    *workers
	reading    atomic.Int64 // reads that wait or run
	deleted    atomic.Int64 // objects
	failed     atomic.Int64 // deletions
}

var _ node.Tier = (*tierHost)(nil)

// openTier opens the object store. An S3 store is not contacted: the broker
// starts and serves while it is down.
func (b *Broker) openTier() error {
	if err := objstore.CheckKey(manifest.Prefix(b.identity.ClusterID, ident.Partition{}) + "x"); err != nil {
		return fmt.Errorf("the cluster id %q cannot be part of an object's key; set another cluster.id for a new directory: %w", b.identity.ClusterID, err)
	}
	open := b.c.OpenStore
	if open == nil {
		open = openStore
	}
	store, err := open(b.s.TierURL)
	if err != nil {
		return fmt.Errorf("open the cold tier: %w; set tier.url", err)
	}
	t := &tierHost{b: b, store: store,
		uploadRate: offload.NewRate(b.s.RemoteCopyBytesPerSec, offload.RealClock()), readRate: offload.NewRate(b.s.RemoteFetchBytesPerSec, offload.RealClock())}
	cache := remote.NewDiskCache(remote.DiskOptions{
		FS: b.c.FS, Root: b.c.Root, Bytes: b.s.TierCacheBytes, ReserveBytes: 2 * b.s.DiskReserveBytes, Now: b.c.Now, Log: b.c.Log,
	})
	t.reader = remote.New(&limitedStore{Store: store, rate: t.readRate}, b.identity.ClusterID, remote.Options{
		MemoryBytes: b.s.TierReadMemoryBytes, MaxDecompressedBytes: int(b.s.DecompressedMaxBytes),
		Cache: cache, Now: b.c.Now, Log: b.c.Log,
	})
	b.tier = t
	return nil
}

// openStore opens what tier.url names. Directories may be relative.
func openStore(rawURL string) (objstore.Store, error) {
	if dir, ok := strings.CutPrefix(rawURL, "file://"); ok {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		rawURL = (&url.URL{Scheme: "file", Path: abs}).String()
	}
	return objstore.Open(context.Background(), rawURL, objstore.Options{})
}

// start begins the tier's work; it ends with the broker's life.
func (t *tierHost) start() {
	t.writers = newWorkers(int(t.b.s.RemoteCopierThreads))
	t.deleter = newWorkers(1)
	t.finder = newWorkers(1)
	// Lookups take long, so that they must not take all that fetches need.
	t.lookups = newWorkers((int(t.b.s.RemoteReaderThreads) + 1) / 2)
	t.readers = newWorkers(int(t.b.s.RemoteReaderThreads))
	t.b.background.Go(t.upkeep)
}

// close ends what is under way. The life of the broker has ended.
func (t *tierHost) close() error {
	if t.writers != nil {
		t.writers.close()
		t.deleter.close()
		t.finder.close()
		t.lookups.close()
		t.readers.close()
	}
	t.reader.Close()
	return t.store.Close()
}

// upkeep lets go of what is not used in the cache, and once of what uploads of
// an earlier life left.
func (t *tierHost) upkeep() {
	life := t.b.life
	if _, err := objstore.AbortUploads(life, t.store, t.b.c.Now().Add(-uploadsAbandonedAfter)); err != nil && life.Err() == nil {
		t.b.c.Log.Warn("unfinished uploads in the cold tier cannot be ended", "error", err)
	}
	every := time.NewTicker(cacheExpireEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			t.reader.Expire()
		case <-life.Done():
			return
		}
	}
}

// config is the node's part.
func (t *tierHost) config() node.TierConfig {
	s := t.b.s
	return node.TierConfig{Tier: t, Every: s.RemoteTaskInterval, Grace: s.TierDeleteDelay, UploadsMax: int(s.RemoteCopierThreads)}
}

// Upload implements node.Tier.
func (t *tierHost) Upload(j node.UploadJob, done func(manifest.Segment, error)) {
	t.writers.run(func() {
		s, err := t.upload(j)
		failpoint.Hit(failpoint.TierUploaded)
		if t.b.life.Err() != nil {
			return // shutting down: nobody is to be told, and the next life uploads again
		}
		t.b.owner.post(func(*node.Node) { done(s, err) })
	})
}

func (t *tierHost) upload(j node.UploadJob) (manifest.Segment, error) {
	u := j.Segment
	f, closeFile, err := j.Partition.OpenUpload(&u)
	if err != nil {
		return manifest.Segment{}, fmt.Errorf("%w: %w", offload.ErrLocal, err)
	}
	epochs := make([]segfile.Epoch, 0, len(u.Epochs))
	for _, e := range u.Epochs {
		epochs = append(epochs, segfile.Epoch{Epoch: e.Epoch, Start: e.Start})
	}
	verify := offload.Auto
	if t.b.s.TierVerify == "full" {
		verify = offload.Full
	}
	began := t.b.c.Now()
	s, err := offload.Upload(t.b.life, t.store, offload.Job{
		Source: segfile.Source{
			Cluster: t.b.identity.ClusterID, Topic: j.Topic, Partition: j.ID, Base: u.Base, End: u.End, Term: u.Term, ID: j.Object,
			Data: f, DataBytes: u.Bytes, Check: f.Check, Producers: u.Producers, Epochs: epochs,
		},
		Name: fmt.Sprintf("segment %d of %s-%d", u.Base, j.Topic, j.ID.Index), Close: closeFile,
	}, offload.Options{Verify: verify, Limiter: t.uploadRate, Stats: &t.stats})
	if err != nil {
		return s, err
	}
	t.b.c.Log.Debug("segment is in the cold tier", "topic", j.Topic, "partition", j.ID.Index, "base_offset", s.Base, "end_offset", s.End,
		"bytes", s.ObjectBytes, "duration_seconds", t.b.c.Now().Sub(began).Seconds())
	return s, nil
}

// Find implements node.Tier.
func (t *tierHost) Find(p ident.Partition, segments []manifest.Segment, done func(int, error)) {
	t.finder.run(func() {
		ctx, cancel := context.WithTimeout(t.b.life, findTimeout)
		defer cancel()
		found, err := offload.Find(ctx, t.store, t.b.identity.ClusterID, p, segments)
		if t.b.life.Err() != nil {
			return // shutting down: nobody is to be told
		}
		t.b.owner.post(func(*node.Node) { done(found, err) })
	})
}

// Discard implements node.Tier.
func (t *tierHost) Discard(p ident.Partition, segments []manifest.Segment, done func(error)) {
	keys := make([]string, 0, len(segments))
	for i := range segments {
		keys = append(keys, segments[i].Key(t.b.identity.ClusterID, p))
	}
	t.delete(func(ctx context.Context) (int, bool, error) {
		return len(keys), false, offload.Discard(ctx, t.store, keys...)
	}, "cannot delete objects from the cold tier; it is tried again", done)
}

// DropTopic implements node.Tier.
func (t *tierHost) DropTopic(id ident.TopicID, done func(error)) {
	after := ""
	t.delete(func(ctx context.Context) (n int, more bool, err error) {
		n, after, err = sweep.DeleteTopic(ctx, t.store, t.b.identity.ClusterID, id, after)
		return n, after != "", err
	}, "cannot delete the objects of a deleted topic from the cold tier; it is tried again", done)
}

// delete calls page until there is no more.
func (t *tierHost) delete(page func(context.Context) (n int, more bool, err error), text string, done func(error)) {
	t.deleter.run(func() {
		var err error
		for more := true; more && err == nil; {
			ctx, cancel := context.WithTimeout(t.b.life, deleteTimeout)
			var n int
			n, more, err = page(ctx)
			cancel()
			if err == nil {
				t.deleted.Add(int64(n))
			}
		}
		if t.b.life.Err() != nil {
			return // shutting down: nobody is to be told, and the next life deletes again
		}
		if err != nil {
			t.failed.Add(1)
			t.b.c.Log.Warn(text, "error", err)
		}
		failpoint.Hit(failpoint.TierDiscarded)
		t.b.owner.post(func(*node.Node) { done(err) })
	})
}

// run performs work that waits for the tier, unless too much waits already.
func (t *tierHost) run(w *workers, f func(context.Context)) bool {
	if t.reading.Add(1) > int64(t.b.s.RemoteReaderPendingMax) {
		t.reading.Add(-1)
		return false
	}
	w.run(func() {
		defer t.reading.Add(-1)
		f(t.b.life)
	})
	return true
}

// limitedStore paces the reads of a store.
type limitedStore struct {
	objstore.Store
	rate *offload.Rate
}

// paceBytes is how much is asked of a Limiter at a time.
const paceBytes = 64 << 10

// GetRange implements objstore.Store.
func (s *limitedStore) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	for n := len(into); n > 0; n -= paceBytes {
		if err := s.rate.Wait(ctx, min(n, paceBytes)); err != nil {
			return fmt.Errorf("%w: %w", objstore.ErrUnavailable, err)
		}
	}
	return s.Store.GetRange(ctx, key, off, into)
}

// tierError names a failure of a cold read in the partition's terms.
func tierError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", partition.ErrTierUnavailable, err)
}
