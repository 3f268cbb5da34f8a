package objstore

import (
	"context"
	"errors"
	"strings"
)

// What can go wrong. Every error of a Store matches exactly one of these with
// errors.Is, or context.Canceled if the caller gave up.
var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("objstore: not found")
	// ErrConflict: the condition of a put does not hold.
	ErrConflict = errors.New("objstore: exists already")
	// ErrShort: the object ends before the range does.
	ErrShort = errors.New("objstore: object is too short")
	// ErrDenied: the store does not allow it, or does not know the credentials.
	ErrDenied = errors.New("objstore: access denied")
	// ErrUnavailable: the store did not answer, not in time, or with a failure
	// of its own. What was asked for may have been done all the same.
	ErrUnavailable = errors.New("objstore: unavailable")
	// ErrInvalid: the request is wrong and stays wrong; also a bucket that does
	// not exist, which must not look like objects that do not.
	ErrInvalid = errors.New("objstore: invalid request")
	// ErrBody: the body of a put could not be read; nothing was written.
	ErrBody = errors.New("objstore: body cannot be read")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("objstore: closed")
)

// Retriable tells whether the same call may succeed later.
func Retriable(err error) bool { return errors.Is(err, ErrUnavailable) }

// storeError is an error at the edge: what was done to which key, its class, and
// what the store said. It keeps no error of a library, whose text and fields are
// not known to be free of credentials; the end of a context stays visible.
type storeError struct {
	op, key string
	kind    error
	detail  string
	cause   error // nil, an end of context, or the error of a body
}

func (e *storeError) Error() string {
	var b strings.Builder
	b.WriteString(e.op)
	if e.key != "" {
		b.WriteString(" ")
		b.WriteString(e.key)
	}
	b.WriteString(": ")
	b.WriteString(e.kind.Error())
	if e.detail != "" {
		b.WriteString(": ")
		b.WriteString(e.detail)
	}
	return b.String()
}

func (e *storeError) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

func newError(op, key string, kind error, detail string) error {
	return &storeError{op: op, key: key, kind: kind, detail: clean(detail)}
}

// contextError classifies an end of ctx: giving up is the caller's own doing, a
// deadline is a store that was too slow. It is nil while ctx goes on.
func contextError(ctx context.Context, op, key string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &storeError{op: op, key: key, kind: ErrUnavailable, detail: "deadline exceeded", cause: err}
	default:
		return &storeError{op: op, key: key, kind: context.Canceled}
	}
}

// bodyError is a failure to read the body of a put.
func bodyError(key string, err error) error {
	return &storeError{op: "put", key: key, kind: ErrBody, detail: clean(err.Error()), cause: err}
}

const detailBytesMax = 400

// clean makes one bounded line of printable characters out of what a store said.
func clean(s string) string {
	if len(s) > detailBytesMax {
		s = s[:detailBytesMax]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, s)
}
