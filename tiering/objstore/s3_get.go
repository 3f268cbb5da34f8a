package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// GetRange asks again for the rest when a body breaks off, of the same version
// of the object.
func (s *s3Store) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	if err := checkRange(key, off, len(into)); err != nil {
		return err
	}
	if len(into) == 0 {
		info, err := s.Head(ctx, key)
		if err == nil && off > info.Size {
			err = shortError(key, off, 0, info.Size)
		}
		return err
	}
	var etag *string
	for try := 1; ; try++ {
		if err := s.ready(ctx, "get", key); err != nil {
			return err
		}
		n, tag, err := s.getOnce(ctx, key, off, into, etag)
		if err == nil {
			return nil
		}
		if !Retriable(err) || n == 0 || try == s.attempts {
			return err
		}
		off, into, etag = off+int64(n), into[n:], tag
	}
}

// getOnce returns how many bytes arrived; 0 if there was no answer at all, after
// which the SDK has done all the trying again that there is to do.
func (s *s3Store) getOnce(ctx context.Context, key string, off int64, into []byte, etag *string) (int, *string, error) {
	out, err := s.c.GetObject(ctx, &s3.GetObjectInput{
		Bucket:  aws.String(s.bucket),
		Key:     aws.String(s.base + key),
		Range:   aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(into))-1)),
		IfMatch: etag,
	})
	if err != nil {
		err = s.fail(ctx, "get", key, err)
		if etag != nil && errors.Is(err, ErrConflict) {
			err = newError("get", key, ErrUnavailable, "the object was replaced during the read")
		}
		return 0, nil, err
	}
	defer out.Body.Close()
	switch total, err := contentRange(aws.ToString(out.ContentRange), off); {
	case err != nil:
		return 0, nil, newError("get", key, ErrUnavailable, err.Error())
	case total >= 0 && off+int64(len(into)) > total:
		return 0, nil, shortError(key, off, len(into), total)
	}
	n, err := io.ReadFull(out.Body, into)
	if err != nil {
		if cerr := s.ready(ctx, "get", key); cerr != nil {
			return 0, nil, cerr
		}
		return n, out.ETag, newError("get", key, ErrUnavailable, fmt.Sprintf("the body broke off after %d of %d bytes", n, len(into)))
	}
	return n, nil, nil
}

// contentRange checks that an answer begins where it was asked to, and returns
// the object's size, or -1 if the store does not tell.
func contentRange(s string, off int64) (int64, error) {
	var first, last, total int64
	if n, err := fmt.Sscanf(s, "bytes %d-%d/%d", &first, &last, &total); n != 3 || err != nil {
		total = -1
		if n, err := fmt.Sscanf(s, "bytes %d-%d/*", &first, &last); n != 2 || err != nil {
			return 0, fmt.Errorf("the store does not answer ranges")
		}
	}
	if first != off {
		return 0, fmt.Errorf("the store answered another range")
	}
	return total, nil
}

func (s *s3Store) Head(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	info, _, err := s.head(ctx, key)
	return info, err
}

// head also returns the id of the Put that wrote the object, if it left one.
func (s *s3Store) head(ctx context.Context, key string) (Info, string, error) {
	if err := s.ready(ctx, "head", key); err != nil {
		return Info{}, "", err
	}
	in := &s3.HeadObjectInput{Bucket: aws.String(s.bucket), Key: aws.String(s.base + key)}
	if s.checksum {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.c.HeadObject(ctx, in)
	if err != nil {
		return Info{}, "", s.fail(ctx, "head", key, err)
	}
	info := Info{
		Size:     aws.ToInt64(out.ContentLength),
		ETag:     aws.ToString(out.ETag),
		Modified: aws.ToTime(out.LastModified),
		Checksum: checksumText(out.ChecksumCRC32C),
	}
	return info, out.Metadata[putIDName], nil
}

func checksumText(sum *string) string {
	if aws.ToString(sum) == "" {
		return ""
	}
	return "crc32c:" + *sum
}
