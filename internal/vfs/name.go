package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// More errors that every implementation returns, wrapped with the operation and
// the name.
var (
	// ErrBadName: the name is empty, absolute, not clean, too long, or would
	// leave the data directory. Nothing was looked up.
	ErrBadName = errors.New("vfs: name refused")
	// ErrIsDir: a file was expected and the name is a directory.
	ErrIsDir = errors.New("vfs: is a directory")
	// ErrNotDir: a directory was expected, or a parent in the name is a file.
	ErrNotDir = errors.New("vfs: not a directory")
	// ErrNotEmpty: Remove of a directory that has entries.
	ErrNotEmpty = errors.New("vfs: directory not empty")
	// ErrTooLarge: the file is larger than the caller's limit, or than the
	// implementation can hold.
	ErrTooLarge = errors.New("vfs: file too large")
	// ErrInvalid: a negative offset or length, or ErrMisaligned.
	ErrInvalid = errors.New("vfs: invalid argument")
)

const (
	// MaxNameBytes is the length of the longest name that is accepted; it is
	// the shortest limit among the supported systems, less room for the root.
	MaxNameBytes = 512
	// MaxElementBytes is the length of the longest element between slashes.
	MaxElementBytes = 255
)

// checkFile refuses a name that cannot be a file's.
func checkFile(op, name string) error {
	if name == "." {
		return opError(op, name, ErrBadName)
	}
	return checkDir(op, name)
}

// checkDir refuses a name that cannot be a directory's; "." is the root.
func checkDir(op, name string) error {
	if len(name) > MaxNameBytes {
		return opError(op, name[:32]+"...", ErrBadName)
	}
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\x00\\") {
		return opError(op, name, ErrBadName)
	}
	for elem := range strings.SplitSeq(name, "/") {
		if len(elem) > MaxElementBytes {
			return opError(op, name, ErrBadName)
		}
	}
	return nil
}

// opError wraps err with the operation and the name.
func opError(op, name string, err error) error {
	return fmt.Errorf("%s %q: %w", op, name, err)
}
