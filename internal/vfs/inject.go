package vfs

import "strings"

// FailNth returns an inject function for NewFaulty that fails the n-th
// operation, counted from 1, of a kind on names with a prefix, once.
func FailNth(kind OpKind, prefix string, n int, err error) func(Op) error {
	seen := 0
	return func(op Op) error {
		if op.Kind != kind || !strings.HasPrefix(op.Name, prefix) {
			return nil
		}
		seen++
		if seen != n {
			return nil
		}
		return err
	}
}

// NoSpaceFrom returns an inject function for NewFaulty that lets writes through
// until they add up to the given number of bytes, overwrites included. The write
// that crosses it is cut there, and from then on every Write of more than
// nothing and every Preallocate fails with ErrNoSpace.
func NoSpaceFrom(bytes int64) func(Op) error {
	left := max(bytes, 0)
	full := left == 0
	return func(op Op) error {
		switch {
		case op.Kind == OpPreallocate && full:
			return ErrNoSpace
		case op.Kind != OpWrite || op.Len == 0:
			return nil
		case full:
			return ErrNoSpace
		case op.Len <= left:
			left -= op.Len
			full = left == 0
			return nil
		}
		cut := int(left)
		left, full = 0, true
		return &Partial{N: cut, Err: ErrNoSpace}
	}
}

// Chain returns an inject function for NewFaulty that asks each of the given
// ones, so that all of them count, and returns the first error.
func Chain(injects ...func(Op) error) func(Op) error {
	return func(op Op) error {
		var first error
		for _, inject := range injects {
			if err := inject(op); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
}
