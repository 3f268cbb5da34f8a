package objstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// uploadAborter is a store in which unfinished uploads take space, and show in
// no listing.
type uploadAborter interface {
	abortUploads(ctx context.Context, before time.Time) (int, error)
}

// AbortUploads ends the unfinished uploads below the store's prefix that were
// begun before a time, as a crash leaves them, and returns how many. An upload
// that is still under way fails with ErrUnavailable, so the time should lie
// longer ago than any upload takes. Stores without such uploads have none. MinIO
// does not list them by prefix, so none is found there; it ends them by itself
// after a day.
func AbortUploads(ctx context.Context, st Store, before time.Time) (int, error) {
	if f, ok := st.(*Faulty); ok {
		st = f.inner
	}
	if a, ok := st.(uploadAborter); ok {
		return a.abortUploads(ctx, before)
	}
	return 0, nil
}

func (s *s3Store) abortUploads(ctx context.Context, before time.Time) (int, error) {
	in := &s3.ListMultipartUploadsInput{Bucket: aws.String(s.bucket)}
	if s.base != "" {
		in.Prefix = aws.String(s.base)
	}
	n := 0
	for {
		if err := s.ready(ctx, "list uploads", ""); err != nil {
			return n, err
		}
		out, err := s.c.ListMultipartUploads(ctx, in)
		if err != nil {
			return n, s.fail(ctx, "list uploads", "", err)
		}
		for _, u := range out.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), s.base) || !aws.ToTime(u.Initiated).Before(before) {
				continue
			}
			_, err := s.c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
				Bucket: in.Bucket, Key: u.Key, UploadId: u.UploadId,
			})
			if err != nil {
				if err = s.fail(ctx, "abort upload", "", err); !errors.Is(err, ErrNotFound) {
					return n, err
				}
				continue
			}
			n++
		}
		if !aws.ToBool(out.IsTruncated) {
			return n, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}
