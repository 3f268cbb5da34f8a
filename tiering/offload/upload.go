package offload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
)

// Job is a segment to upload. Its ID is for one call of Upload and for no other,
// also where that fails: what a failed call asked of the store may still happen.
type Job struct {
	segfile.Source
	// Name is the local segment's file, for errors.
	Name string
	// Close, if it is not nil, is called once, when Data is not read any more.
	Close func()
}

// Verify says how the data of an upload is verified. Length and tail are always
// read back.
type Verify uint8

const (
	// Auto trusts a checksum that the store keeps for the whole object, if it is
	// the one counted while the segment was read; else all is read back.
	Auto Verify = iota
	// Full reads all data back.
	Full
)

// Options are for Upload. The zero value is ready for use.
type Options struct {
	// IndexIntervalBytes is that of segfile.Options.
	IndexIntervalBytes int64
	// PartBytes is what the store was opened with; 0 is its default. Another one
	// costs Auto its shortcut, nothing else.
	PartBytes int64
	Verify    Verify
	// Limiter holds uploads back; nil: nothing does. Reading back is not held
	// back.
	Limiter Limiter
	// Stats is what to count in; nil: nothing is counted.
	Stats *Stats
}

// discardTimeout bounds the cleaning up after a failed upload, which happens even
// if the caller's context has ended.
const discardTimeout = 10 * time.Second

// Upload builds the object of a segment, puts it and verifies it. The Segment
// that it returns may be committed, with CommittedAt set; only then does the
// object count. It reads the segment twice. ClassOf tells what an error means;
// after any error the job's id is used up.
func Upload(ctx context.Context, store objstore.Store, job Job, o Options) (manifest.Segment, error) {
	if job.Close != nil {
		defer job.Close()
	}
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	seg, err := upload(ctx, store, &job, &o)
	o.Stats.done(seg.ObjectBytes, err)
	if err != nil {
		return manifest.Segment{}, fmt.Errorf("upload segment %s, offsets %d to %d of %v: %w", job.Name, job.Base, job.End, job.Partition, err)
	}
	return seg, nil
}

func upload(ctx context.Context, store objstore.Store, job *Job, o *Options) (manifest.Segment, error) {
	src := job.Source
	if src.Data != nil {
		src.Data = &local{ctx, src.Data}
	}
	obj, err := segfile.Build(src, segfile.Options{IndexIntervalBytes: o.IndexIntervalBytes, PartBytes: o.PartBytes})
	if err != nil {
		if errors.Is(err, segfile.ErrSource) {
			err = fmt.Errorf("%w: %w", ErrJob, err)
		}
		return manifest.Segment{}, err
	}
	c := check{store: store, key: obj.Segment.Key(job.Cluster, job.Partition), obj: obj, stats: o.Stats, full: o.Verify == Full}
	body := newBody(ctx, &local{ctx, obj}, obj.Size(), o.Limiter)
	_, err = store.Put(ctx, c.key, body, obj.Size(), objstore.PutOptions{IfAbsent: true})
	switch {
	case err == nil:
		if err := c.run(ctx); err != nil && !mutant.On(mutant.UploadUnverified) {
			// Nobody else had this key before, and nobody is told of it now.
			c.discard(ctx)
			return manifest.Segment{}, err
		}
		return obj.Segment, nil
	case ctx.Err() != nil:
		return manifest.Segment{}, err
	case errors.Is(err, objstore.ErrConflict), objstore.Retriable(err):
		return c.resolve(ctx, err)
	}
	return manifest.Segment{}, err
}

// resolve finds out whether a put succeeded that says it did not: nobody but us
// knows the key. The object stays whatever comes out.
func (c *check) resolve(ctx context.Context, failure error) (manifest.Segment, error) {
	if _, err := c.store.Head(ctx, c.key); errors.Is(err, objstore.ErrNotFound) && objstore.Retriable(failure) {
		return manifest.Segment{}, failure
	}
	c.full = true // how much of it arrived is what is in question
	if err := c.run(ctx); err != nil {
		return manifest.Segment{}, fmt.Errorf("%w; before that: %w", err, opaque(failure))
	}
	c.stats.Resolved.Add(1)
	return c.obj.Segment, nil
}

// opaque keeps the text of an error that says nothing about what to do.
func opaque(err error) error { return errors.New(err.Error()) }

// discard deletes the object of a failed upload as well as it can be done.
func (c *check) discard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := c.store.Delete(ctx, c.key); err != nil {
		c.stats.DiscardFailures.Add(1)
		return
	}
	c.stats.Discarded.Add(1)
}

// Discard deletes the objects of segments that no manifest names any more, or
// never did. Keys without an object are no error, so it may be called again after
// one. It touches nothing, and fails with ErrJob, if a key is not that of a
// segment.
func Discard(ctx context.Context, store objstore.Store, keys ...string) error {
	for _, key := range keys {
		cluster, _, _ := strings.Cut(key, "/")
		if _, _, err := manifest.ParseKey(cluster, key); err != nil {
			return fmt.Errorf("discard: %w: %w", ErrJob, err)
		}
	}
	if err := store.Delete(ctx, keys...); err != nil {
		return fmt.Errorf("discard %d objects: %w", len(keys), err)
	}
	return nil
}
