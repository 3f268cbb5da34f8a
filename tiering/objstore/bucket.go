package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// memObjectBytesMax bounds an object of mem://, which is held whole.
const memObjectBytesMax = 1 << 30

// bucketStore is a Store over any bucket of gocloud.dev. It is all of mem://;
// s3:// takes listings and deletions from it.
type bucketStore struct {
	b      *blob.Bucket
	base   string // what stands before every key in the bucket
	closed atomic.Bool
	// startAfter makes a listing start behind a key of the bucket; where it is
	// nil the store reads on from the beginning.
	startAfter func(after string) func(as func(any) bool) error
	// classify makes an error of the package out of a library's.
	classify func(op, key string, err error) error
}

func openMem(u *url.URL) (Store, error) {
	if u.Host != "" || u.Path != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("mem:// takes nothing more: %w", ErrInvalid)
	}
	return &bucketStore{
		b:        memblob.OpenBucket(&memblob.Options{NoMD5: true}),
		classify: classifyPortable,
	}, nil
}

// classifyPortable knows only the portable codes of gocloud.dev.
func classifyPortable(op, key string, err error) error {
	kind := ErrUnavailable
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		kind = ErrNotFound
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		kind = ErrConflict
	case gcerrors.PermissionDenied:
		kind = ErrDenied
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		kind = ErrInvalid
	}
	return newError(op, key, kind, "")
}

// fail classifies an error of a call: the end of the store and of the context
// first, since they make others.
func (s *bucketStore) fail(ctx context.Context, op, key string, err error) error {
	if cerr := s.ready(ctx, op, key); cerr != nil {
		return cerr
	}
	return s.classify(op, key, err)
}

// ready says whether a call may begin.
func (s *bucketStore) ready(ctx context.Context, op, key string) error {
	if s.closed.Load() {
		return newError(op, key, ErrClosed, "")
	}
	return contextError(ctx, op, key)
}

func (s *bucketStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Info, error) {
	if err := checkPut(key, size, memObjectBytesMax); err != nil {
		return Info{}, err
	}
	if err := s.ready(ctx, "put", key); err != nil {
		return Info{}, err
	}
	// A writer is given up only by ending its context before Close.
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.b.NewWriter(wctx, s.base+key, &blob.WriterOptions{
		ContentType: contentType,
		IfNotExist:  o.IfAbsent,
	})
	if err != nil {
		return Info{}, s.fail(ctx, "put", key, err)
	}
	src := newSection(body, 0, size)
	_, err = w.ReadFrom(src)
	if err != nil {
		cancel()
		_ = w.Close() // ended on purpose: it says so
		if berr := src.detach(); berr != nil {
			return Info{}, bodyError(key, berr)
		}
		return Info{}, s.fail(ctx, "put", key, err)
	}
	if err := w.Close(); err != nil {
		return Info{}, s.fail(ctx, "put", key, err)
	}
	return s.Head(ctx, key)
}

func (s *bucketStore) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	if err := checkRange(key, off, len(into)); err != nil {
		return err
	}
	// The size decides between an object that is short and one that is not
	// there, for which buckets have different errors.
	info, err := s.Head(ctx, key)
	if err != nil {
		return err
	}
	if off+int64(len(into)) > info.Size {
		return shortError(key, off, len(into), info.Size)
	}
	if len(into) == 0 {
		return nil
	}
	r, err := s.b.NewRangeReader(ctx, s.base+key, off, int64(len(into)), nil)
	if err != nil {
		return s.fail(ctx, "get", key, err)
	}
	_, err = io.ReadFull(r, into)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return s.fail(ctx, "get", key, err)
	}
	return nil
}

func (s *bucketStore) Head(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	if err := s.ready(ctx, "head", key); err != nil {
		return Info{}, err
	}
	a, err := s.b.Attributes(ctx, s.base+key)
	if err != nil {
		return Info{}, s.fail(ctx, "head", key, err)
	}
	return Info{Size: a.Size, ETag: a.ETag, Modified: a.ModTime}, nil
}

func (s *bucketStore) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	limit, err := checkList(prefix, after, limit)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, "list", prefix); err != nil {
		return nil, err
	}
	opts := &blob.ListOptions{Prefix: s.base + prefix}
	if s.startAfter != nil && after != "" {
		opts.BeforeList = s.startAfter(s.base + after)
	}
	objects := make([]Object, 0, min(limit, 64))
	token := blob.FirstPageToken
	for {
		page, next, err := s.b.ListPage(ctx, token, limit, opts)
		if err != nil {
			return nil, s.fail(ctx, "list", prefix, err)
		}
		for _, o := range page {
			key, ok := strings.CutPrefix(o.Key, s.base)
			if !ok || o.IsDir || key <= after || CheckKey(key) != nil {
				continue
			}
			objects = append(objects, Object{Key: key, Size: o.Size, Modified: o.ModTime})
			if len(objects) == limit {
				return objects, nil
			}
		}
		if len(next) == 0 {
			return objects, nil
		}
		token = next
	}
}

func (s *bucketStore) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := s.ready(ctx, "delete", key); err != nil {
			return err
		}
		err := s.b.Delete(ctx, s.base+key)
		if err == nil {
			continue
		}
		if err = s.fail(ctx, "delete", key, err); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func (s *bucketStore) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.b.Close(); err != nil {
		return newError("close", "", ErrUnavailable, "")
	}
	return nil
}

func shortError(key string, off int64, n int, size int64) error {
	return newError("get", key, ErrShort, fmt.Sprintf("%d bytes from %d of an object of %d", n, off, size))
}

// contentType is the same for every object, so that no library guesses.
const contentType = "application/octet-stream"
