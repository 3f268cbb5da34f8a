package record

import (
	"fmt"
	"io"
	"iter"
)

// Next splits the first batch off b. Both results alias b. It looks at magic
// and length only; call VerifyCRC for what lies between. The error is io.EOF
// if b is empty, ErrTruncated if b ends inside the batch, and ErrCorrupt or
// ErrMagic if no batch starts here; batch is nil and rest is b then.
func Next(b []byte) (batch, rest []byte, err error) {
	if len(b) == 0 {
		return nil, b, io.EOF
	}
	h, err := ParseHeader(b)
	if err != nil {
		return nil, b, err
	}
	size := h.Size()
	if size > len(b) {
		return nil, b, fmt.Errorf("split batches: %w: %d of %d bytes", ErrTruncated, len(b), size)
	}
	return b[:size:size], b[size:], nil
}

// Batches yields the whole batches of b in order, as Next splits them. If b
// does not end with a batch, the last pair is nil and the error of Next.
func Batches(b []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			batch, rest, err := Next(b)
			if err == io.EOF {
				return
			}
			if !yield(batch, err) || err != nil {
				return
			}
			b = rest
		}
	}
}
