package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"
)

const compareBytes = 256 << 10

// PutOnce makes sure that the object key exists with exactly this content, and
// never replaces another: it is for objects that one writer numbers, and writes
// again after a crash without knowing what it had done. If the put conflicts, or
// its outcome is not known, the object is read back and compared (S2). The error
// is ErrConflict if it has another content, ErrUnavailable if that cannot be
// found out now.
func PutOnce(ctx context.Context, st Store, key string, body io.ReaderAt, size int64) (Info, error) {
	info, err := st.Put(ctx, key, body, size, PutOptions{IfAbsent: true})
	if err == nil || !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return info, err
	}
	info, herr := st.Head(ctx, key)
	switch {
	case errors.Is(herr, ErrNotFound) && errors.Is(err, ErrConflict):
		return Info{}, newError("put", key, ErrUnavailable, "the object that stood there is gone")
	case errors.Is(herr, ErrNotFound):
		return Info{}, err // not done: the first failure says why
	case herr != nil:
		return Info{}, herr
	case info.Size != size:
		return Info{}, newError("put", key, ErrConflict, "the object has another size")
	}
	if err := compare(ctx, st, key, body, size); err != nil {
		return Info{}, err
	}
	return info, nil
}

func compare(ctx context.Context, st Store, key string, body io.ReaderAt, size int64) error {
	n := min(size, compareBytes)
	theirs, ours := make([]byte, n), make([]byte, n)
	for off := int64(0); off < size; off += n {
		a, b := theirs[:min(n, size-off)], ours[:min(n, size-off)]
		if m, err := body.ReadAt(b, off); m < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return bodyError(key, err)
		}
		if err := st.GetRange(ctx, key, off, a); err != nil {
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrShort) {
				return newError("put", key, ErrUnavailable, "the object changed while it was compared")
			}
			return err
		}
		if !bytes.Equal(a, b) {
			return newError("put", key, ErrConflict, "the object has another content")
		}
	}
	return nil
}
