package storage

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
)

// Errors of this package. Match them with errors.Is.
var (
	// ErrBelowStart: the offset is below the local log start, or its segment
	// was removed while it was read.
	ErrBelowStart = errors.New("storage: below the log start")
	// ErrBeyondEnd: the offset is above the log end.
	ErrBeyondEnd = errors.New("storage: beyond the log end")
	// ErrDamaged: bytes on disk are not what was written. The error is a
	// *DamageError.
	ErrDamaged = errors.New("storage: damaged")
	// ErrAppend: a batch that cannot follow what the log holds.
	ErrAppend = errors.New("storage: batch does not fit the log")
	// ErrPosition: bytes that are no encoded Position, or a Position that
	// contradicts itself.
	ErrPosition = errors.New("storage: bad position")
	// ErrStaleMark: segments that the Mark covers became garbage before they
	// were synced. Take a new Mark.
	ErrStaleMark = errors.New("storage: mark is stale")
	// ErrUnwritten: bytes that the Mark covers are not yet written.
	ErrUnwritten = errors.New("storage: mark is not reached")
	// ErrBusy: another Sync of the log has not been reported done.
	ErrBusy = errors.New("storage: a sync is in flight")
	// ErrSyncFailed: a sync failed. Nothing is known about the writes before
	// it, so the log makes no Position durable until it is opened again.
	ErrSyncFailed = errors.New("storage: sync failed")
	// ErrIndex: bytes that are no index.
	ErrIndex = errors.New("storage: bad index")
)

// DamageError says where bytes on disk are not what was written. It matches
// ErrDamaged.
type DamageError struct {
	File     string       // name in the data directory
	Position int64        // byte in the file, -1 if the whole file is meant
	Offset   ident.Offset // a lower bound of the offsets that are lost
	Reason   string
}

// Error names file, position and offset.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d, offset %d: %s", ErrDamaged, e.File, e.Position, e.Offset, e.Reason)
}

// Is reports whether target is ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

func damaged(file string, pos int64, off ident.Offset, format string, args ...any) error {
	return &DamageError{File: file, Position: pos, Offset: off, Reason: fmt.Sprintf(format, args...)}
}
