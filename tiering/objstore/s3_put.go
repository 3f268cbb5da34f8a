package objstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// putIDName is the object metadata in which a Put leaves its id, so that it
	// knows its own object when the answer got lost.
	putIDName = "varve-put-id"
	// uploadsMax is how many parts of one object are under way at once.
	uploadsMax = 2
	// abortTimeout bounds the cleaning up after a failed upload, which happens
	// even if the caller's context has ended.
	abortTimeout = 10 * time.Second
)

func (s *s3Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Info, error) {
	if err := checkPut(key, size, s3ObjectBytesMax); err != nil {
		return Info{}, err
	}
	if err := s.ready(ctx, "put", key); err != nil {
		return Info{}, err
	}
	p := &s3Put{s3Store: s, key: key, body: body, size: size, id: rand.Text()}
	if o.IfAbsent {
		p.ifNoneMatch = aws.String("*")
	}
	if s.checksum {
		p.algorithm = types.ChecksumAlgorithmCrc32c
	}
	if size <= s.partBytes {
		return p.whole(ctx)
	}
	return p.multipart(ctx)
}

// s3Put is one call of Put.
type s3Put struct {
	*s3Store
	key         string
	body        io.ReaderAt
	size        int64
	id          string
	ifNoneMatch *string
	algorithm   types.ChecksumAlgorithm
}

func (p *s3Put) whole(ctx context.Context) (Info, error) {
	body := newSection(p.body, 0, p.size)
	out, err := p.c.PutObject(ctx, &s3.PutObjectInput{
		Bucket:            aws.String(p.bucket),
		Key:               aws.String(p.base + p.key),
		Body:              body,
		ContentLength:     aws.Int64(p.size),
		ContentType:       aws.String(contentType),
		ChecksumAlgorithm: p.algorithm,
		IfNoneMatch:       p.ifNoneMatch,
		Metadata:          map[string]string{putIDName: p.id},
	})
	if berr := body.detach(); err != nil && berr != nil {
		return Info{}, bodyError(p.key, berr)
	}
	if err != nil {
		return p.resolve(ctx, p.fail(ctx, "put", p.key, err))
	}
	return Info{Size: p.size, ETag: aws.ToString(out.ETag), Checksum: checksumText(out.ChecksumCRC32C)}, nil
}

// resolve decides a put of which only a failure is known that may hide a
// success: the request was done and its answer lost, and what failed is one of
// the SDK's repetitions.
func (p *s3Put) resolve(ctx context.Context, failure error) (Info, error) {
	if !errors.Is(failure, ErrConflict) && !errors.Is(failure, ErrUnavailable) && !errors.Is(failure, ErrNotFound) {
		return Info{}, failure
	}
	if ctx.Err() != nil {
		return Info{}, failure
	}
	info, id, err := p.head(ctx, p.key)
	switch {
	case err == nil && id == p.id && info.Size == p.size:
		return info, nil
	case err == nil && p.ifNoneMatch != nil:
		return Info{}, newError("put", p.key, ErrConflict, "")
	case errors.Is(failure, ErrNotFound):
		// The upload is gone, and the object is not there.
		return Info{}, newError("put", p.key, ErrUnavailable, "the upload was ended by someone else")
	case errors.Is(failure, ErrConflict) && errors.Is(err, ErrUnavailable):
		// Whose object it is cannot be said now.
		return Info{}, err
	}
	return Info{}, failure
}

func (p *s3Put) multipart(ctx context.Context) (Info, error) {
	part := p.partBytes
	if p.size > part*partsMax {
		part = partBytesMax
	}
	created, err := p.c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            aws.String(p.bucket),
		Key:               aws.String(p.base + p.key),
		ContentType:       aws.String(contentType),
		ChecksumAlgorithm: p.algorithm,
		Metadata:          map[string]string{putIDName: p.id},
	})
	if err != nil {
		return Info{}, notMissing(p.fail(ctx, "put", p.key, err))
	}
	parts, err := p.parts(ctx, created.UploadId, part)
	if err != nil {
		p.abort(ctx, created.UploadId)
		return Info{}, notMissing(err)
	}
	out, err := p.c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket:          aws.String(p.bucket),
		Key:             aws.String(p.base + p.key),
		UploadId:        created.UploadId,
		IfNoneMatch:     p.ifNoneMatch,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		failure := p.fail(ctx, "put", p.key, err)
		info, err := p.resolve(ctx, failure)
		if err != nil {
			p.abort(ctx, created.UploadId)
		}
		return info, err
	}
	return Info{Size: p.size, ETag: aws.ToString(out.ETag), Checksum: checksumText(out.ChecksumCRC32C)}, nil
}

// notMissing keeps ErrNotFound, which says that an object is missing, off puts:
// there it says that someone ended the upload.
func notMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return newError("put", "", ErrUnavailable, err.Error())
	}
	return err
}

// parts sends all parts, some at once, and returns when none is under way.
func (p *s3Put) parts(ctx context.Context, upload *string, part int64) ([]types.CompletedPart, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		done  = make([]types.CompletedPart, (p.size+part-1)/part)
		mu    sync.Mutex
		next  int
		first error
		wg    sync.WaitGroup
	)
	// take hands out the parts in order, none after a failure.
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == len(done) {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(uploadsMax, len(done)) {
		wg.Go(func() {
			for {
				i, ok := take()
				if !ok {
					return
				}
				c, err := p.part(ctx, upload, i, part)
				done[i] = c
				if err == nil {
					continue
				}
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
				cancel()
				return
			}
		})
	}
	wg.Wait()
	return done, first
}

func (p *s3Put) part(ctx context.Context, upload *string, i int, part int64) (types.CompletedPart, error) {
	off := int64(i) * part
	body := newSection(p.body, off, min(part, p.size-off))
	number := aws.Int32(int32(i + 1))
	out, err := p.c.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:            aws.String(p.bucket),
		Key:               aws.String(p.base + p.key),
		UploadId:          upload,
		PartNumber:        number,
		Body:              body,
		ContentLength:     aws.Int64(body.size),
		ChecksumAlgorithm: p.algorithm,
	})
	if berr := body.detach(); err != nil && berr != nil {
		return types.CompletedPart{}, bodyError(p.key, berr)
	}
	if err != nil {
		return types.CompletedPart{}, p.fail(ctx, "put", p.key, err)
	}
	return types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumCRC32C: out.ChecksumCRC32C}, nil
}

// abort gives the parts of a failed upload back. It is done as well as it can
// be: what stays after a failure here is found by AbortUploads.
func (p *s3Put) abort(ctx context.Context, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, _ = p.c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket:   aws.String(p.bucket),
		Key:      aws.String(p.base + p.key),
		UploadId: upload,
	})
}
