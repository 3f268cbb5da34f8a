package offload

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
)

var (
	// ErrUnverified: the store has something else than what was sent, or lost it.
	// Another upload, with another id, may succeed.
	ErrUnverified = errors.New("offload: the stored object is not the segment")
	// ErrLocal: the local segment cannot be read, which says nothing of its bytes.
	ErrLocal = errors.New("offload: the local segment cannot be read")
	// ErrJob: a job or a key that is wrong and stays wrong; a defect of the caller.
	ErrJob = errors.New("offload: invalid job")
)

// Class says what can be done about an error of Upload or Discard.
type Class uint8

// The classes of errors.
const (
	// None is the class of nil.
	None Class = iota
	// Canceled: the caller gave up, or closed the store.
	Canceled
	// Retry: the store is down or slow, or what it stored is not what was sent.
	// The next attempt needs another id.
	Retry
	// Misconfigured: the store refuses: credentials, permissions, no such bucket.
	// Trying again is right only in case somebody mends that.
	Misconfigured
	// Damage: the local segment is corrupt. The error names it, the position and
	// the offset. Another replica may have a good one.
	Damage
	// Local: the local segment could not be read: a disk error, or a file that
	// is gone since.
	Local
	// Defect: the job could not be true, or anything that is in no other class.
	Defect
)

// String returns the class as logs and metrics name it.
func (c Class) String() string {
	names := [...]string{"none", "canceled", "retry", "misconfigured", "damage", "local", "defect"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// ClassOf returns the class of an error of this package.
func ClassOf(err error) Class {
	switch {
	case err == nil:
		return None
	case errors.Is(err, segfile.ErrDamaged):
		return Damage
	case errors.Is(err, context.Canceled), errors.Is(err, objstore.ErrClosed):
		return Canceled
	case errors.Is(err, ErrLocal):
		return Local
	case errors.Is(err, ErrUnverified), errors.Is(err, context.DeadlineExceeded), objstore.Retriable(err):
		return Retry
	case errors.Is(err, objstore.ErrDenied), errors.Is(err, objstore.ErrInvalid):
		return Misconfigured
	}
	return Defect
}
