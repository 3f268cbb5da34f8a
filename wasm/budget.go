package wasm

import (
	"fmt"
	"sync/atomic"
)

// A budget counts the bytes of guest memory in use by all pools of a runtime.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take adds n bytes, or fails with ErrMemory and adds nothing.
func (b *budget) take(n int64) error {
	if used := b.used.Add(n); used > b.limit {
		b.used.Add(-n)
		return fmt.Errorf("%d bytes more than the %d in use, at most %d: %w", n, used-n, b.limit, ErrMemory)
	}
	return nil
}

func (b *budget) release(n int64) { b.used.Add(-n) }
