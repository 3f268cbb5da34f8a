package remote

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/tiering/objstore"
)

// Errors of this package. Every error of a Reader matches exactly one of them,
// or is the end of the caller's context. Match them with errors.Is.
var (
	// ErrUnavailable: the store does not answer, or does not let the broker in.
	// The same read may succeed later; a client is told so. It matches the
	// error of objstore too.
	ErrUnavailable = errors.New("remote: the object store is unavailable")
	// ErrMissing: the object of a segment in the list does not exist. That is a
	// storage error, and never an offset out of range (S4). It may be repaired,
	// so a client may try again.
	ErrMissing = errors.New("remote: the object of a segment is missing")
	// ErrDamaged: an object is not the one that was committed, also when it was
	// fetched a second time.
	ErrDamaged = errors.New("remote: an object is damaged")
	// ErrOutside: the offset is not in the list of segments.
	ErrOutside = errors.New("remote: the offset is not in the tier")
	// ErrClosed: the Reader was closed.
	ErrClosed = errors.New("remote: closed")
)

// storeClasses are the errors of objstore and what they mean here.
var storeClasses = []struct{ from, to error }{
	{objstore.ErrNotFound, ErrMissing},
	{objstore.ErrShort, ErrDamaged},
	{objstore.ErrUnavailable, ErrUnavailable},
	{objstore.ErrDenied, ErrUnavailable},
	{objstore.ErrInvalid, ErrUnavailable}, // a bucket that is not there
	{objstore.ErrClosed, ErrUnavailable},
}

// storeError classifies what the store said. The end of the download's own
// context does not show in it: a caller would take it for the end of its own.
func storeError(key string, err error) error {
	for _, c := range storeClasses {
		if errors.Is(err, c.from) {
			return fmt.Errorf("%w: %w: %s: %v", c.to, c.from, key, err)
		}
	}
	return fmt.Errorf("%w: %w: %s: %v", ErrUnavailable, objstore.ErrUnavailable, key, err)
}

// damageError says which bytes of an object are not what was committed. It
// matches ErrDamaged.
type damageError struct {
	key      string
	at       int64  // in the object
	from, to int64  // the range of the object that is in doubt
	seen     uint64 // the youngest chunk that was looked at
	reason   string
}

// Error names object and position.
func (e *damageError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d: %s", ErrDamaged, e.key, e.at, e.reason)
}

// Is reports whether target is ErrDamaged.
func (e *damageError) Is(target error) bool { return target == ErrDamaged }
