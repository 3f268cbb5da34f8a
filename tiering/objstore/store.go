package objstore

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"
)

// ListMax is the most objects that one List returns.
const ListMax = 1000

// Store is an object store, or a part of one below a prefix. All methods may be
// called from any goroutine, and block until done or until ctx ends.
type Store interface {
	// Put writes the first size bytes of body as the object key, whole, and
	// returns when the object is durable. It reads body at any offset, from up
	// to two goroutines, and again when it tries again; it does not keep it. An
	// object of that name is replaced, unless o.IfAbsent is set: then it stays,
	// and the error is ErrConflict. After ErrUnavailable the object may exist.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Info, error)
	// GetRange fills into with the object's bytes from off. The error is
	// ErrNotFound if there is no object, and ErrShort if it ends before
	// off+len(into); into's content is undefined then.
	GetRange(ctx context.Context, key string, off int64, into []byte) error
	// Head tells about an object, or ErrNotFound.
	Head(ctx context.Context, key string) (Info, error)
	// List returns the objects whose key starts with prefix and is greater than
	// after, ascending by key, at most limit and at most ListMax of them. Fewer
	// than that means that there are no more. What is not a valid key is not
	// listed. It sees every Put and Delete that returned before the call, as far
	// as the store is consistent (S3 is).
	List(ctx context.Context, prefix, after string, limit int) ([]Object, error)
	// Delete removes objects, durably. A key without an object is no error. It
	// stops at the first failure; the keys before that one are gone.
	Delete(ctx context.Context, keys ...string) error
	// Close releases the store; objects stay, except those of mem://. A second
	// Close does nothing.
	Close() error
}

// PutOptions are conditions of a Put. The zero value replaces what is there.
type PutOptions struct {
	// IfAbsent makes the put fail with ErrConflict if the object exists.
	IfAbsent bool
}

// Info describes an object.
type Info struct {
	Size     int64     // in bytes
	ETag     string    // the store's name for this version of the object, opaque
	Modified time.Time // by the store's clock; zero after Put where the store does not tell
	// Checksum is what the store itself vouches for, "crc32c:" and base64, with
	// "-" and the number of parts where it is a checksum of the parts'
	// checksums. Empty where the store keeps none.
	Checksum string
}

// Object is an entry of a listing.
type Object struct {
	Key      string
	Size     int64
	Modified time.Time
}

// Options are what does not belong into a URL, and limits. The zero value is
// ready for use.
type Options struct {
	// AccessKey, SecretKey and SessionToken are static S3 credentials. If
	// AccessKey is empty, the ambient ones are used: the AWS_* environment, the
	// shared configuration files, web identity, instance metadata.
	AccessKey    string
	SecretKey    string
	SessionToken string
	// Attempts bounds how often one S3 request is sent; 0 means 4. Between two
	// attempts lies a random time of at most BackoffMax; 0 means 5 s.
	Attempts   int
	BackoffMax time.Duration
	// StallTimeout ends a connection on which nothing was sent or received for
	// that long; 0 means 60 s.
	StallTimeout time.Duration
	// PartBytes is the size of the parts in which a larger object is sent to S3;
	// 0 means 8 MiB, and it is kept between 5 and 16 MiB. An object that would
	// have more than 10,000 parts is sent in parts of 16 MiB.
	PartBytes int64
	// CreateBucket makes the S3 bucket if it does not exist. For tests and for
	// trying out; otherwise Open sends nothing.
	CreateBucket bool
}

// Open opens the store that the URL names:
//
//	s3://bucket/prefix?region=...&endpoint=...&path_style=true&checksum=when_required
//	file:///directory
//	mem://
//
// An S3 endpoint is an http or https URL without a path. Path style is the
// default where an endpoint is given. checksum=when_required leaves out the
// CRC32C of uploads, for stores that refuse it. A directory is made if it does
// not exist. Each mem:// is a new, empty store that ends with Close. A URL that
// holds credentials is refused with ErrInvalid. Open of s3:// does not
// need the store to be reachable, except for Options.CreateBucket.
func Open(ctx context.Context, rawURL string, o Options) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error of url.Parse quotes the URL, which may hold a password.
		return nil, fmt.Errorf("open object store: not a URL: %w", ErrInvalid)
	}
	if u.Opaque != "" {
		return nil, fmt.Errorf("open object store: no // behind the scheme: %w", ErrInvalid)
	}
	if u.User != nil {
		return nil, fmt.Errorf("open object store: credentials do not belong into the URL: %w", ErrInvalid)
	}
	var st Store
	switch u.Scheme {
	case "s3":
		st, err = openS3(ctx, u, o)
	case "file":
		st, err = openFile(u)
	case "mem":
		st, err = openMem(u)
	default:
		err = fmt.Errorf("scheme is not s3, file or mem: %w", ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", Redact(rawURL), err)
	}
	return st, nil
}

// Redact returns the URL of a store as it may be shown: without user
// information, and without the values of parameters that Open does not know.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" || u.Scheme == "" {
		return notURL // what it holds cannot be told apart
	}
	u.User = nil
	u.Fragment, u.RawFragment = "", ""
	q := u.Query()
	for name, values := range q {
		for i, v := range values {
			switch name {
			case "region", "path_style", "checksum":
			case "endpoint":
				values[i] = redactEndpoint(v)
			default:
				values[i] = "redacted"
			}
		}
	}
	u.RawQuery = q.Encode()
	shown := u.String()
	if again, err := url.Parse(shown); err != nil || again.User != nil {
		return notURL // it reads differently than it did
	}
	return shown
}

const notURL = "(not a URL)"

func redactEndpoint(raw string) string {
	e, err := url.Parse(raw)
	if err != nil || e.Host == "" {
		return "redacted"
	}
	return e.Scheme + "://" + e.Host
}

// checkPut checks what every driver demands of the arguments of Put.
func checkPut(key string, size, sizeMax int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if size < 0 || size > sizeMax {
		return newError("put", key, ErrInvalid, fmt.Sprintf("size %d is not in 0 to %d", size, sizeMax))
	}
	return nil
}

// checkRange checks what every driver demands of the arguments of GetRange.
func checkRange(key string, off int64, n int) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if off < 0 || off+int64(n) < off {
		return newError("get", key, ErrInvalid, fmt.Sprintf("range of %d bytes from %d", n, off))
	}
	return nil
}

// checkList checks what every driver demands of the arguments of List, and
// returns the limit that counts.
func checkList(prefix, after string, limit int) (int, error) {
	if limit <= 0 {
		return 0, newError("list", prefix, ErrInvalid, fmt.Sprintf("limit %d", limit))
	}
	for _, s := range []string{prefix, after} {
		if err := checkPrefix(s); err != nil {
			return 0, err
		}
	}
	return min(limit, ListMax), nil
}
