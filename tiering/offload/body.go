package offload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// pieceBytes is what the limit is asked for at once.
const pieceBytes = 64 << 10

// local is a local segment. It ends with its context, and tells its own errors
// from those of a store.
type local struct {
	ctx context.Context
	r   io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (l *local) ReadAt(p []byte, off int64) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.ReadAt(p, off)
	if err != nil && err != io.EOF && !errors.Is(err, ErrLocal) {
		err = fmt.Errorf("%w: %w", ErrLocal, err)
	}
	return n, err
}

// body is an object on its way to the store. It asks the limit once for every
// piece: a library may read a part several times before it sends it, to count a
// checksum and a signature, and that must not count as sent. A part that is sent
// again after a failure is not asked for again either.
type body struct {
	ctx   context.Context
	r     io.ReaderAt
	size  int64
	limit Limiter // nil: none

	mu   sync.Mutex
	paid []uint64 // a bit for each piece
}

func newBody(ctx context.Context, r io.ReaderAt, size int64, limit Limiter) *body {
	b := &body{ctx: ctx, r: r, size: size, limit: limit}
	if limit != nil {
		b.paid = make([]uint64, size/pieceBytes/64+1)
	}
	return b
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if b.limit == nil || off < 0 {
		return b.r.ReadAt(p, off)
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		end := min(int64(len(p)), int64(n)+pieceBytes-at%pieceBytes)
		if at < b.size && b.pay(at/pieceBytes) {
			piece := min(pieceBytes, b.size-at/pieceBytes*pieceBytes)
			if err := b.limit.Wait(b.ctx, int(piece)); err != nil {
				return n, err
			}
		}
		m, err := b.r.ReadAt(p[n:end], at)
		n += m
		if err != nil && (err != io.EOF || int64(n) < end) {
			return n, err
		}
	}
	return n, nil
}

// pay notes that a piece was asked for, and tells whether it is the first time.
func (b *body) pay(piece int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	word, bit := &b.paid[piece/64], uint64(1)<<(piece%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
