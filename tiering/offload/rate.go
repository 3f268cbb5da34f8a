package offload

import (
	"context"
	"sync"
	"time"
)

// Limiter holds a transfer back. Implementations are safe for any goroutine.
type Limiter interface {
	// Wait blocks until n more bytes may be sent, or ctx ends; then it returns
	// the context's error. n is at most 64 KiB.
	Wait(ctx context.Context, n int) error
}

// Clock is the time that a Rate lives in.
type Clock struct {
	// Now returns the time; it must not go back.
	Now func() time.Time
	// Sleep blocks for a duration or until ctx ends, and returns the context's
	// error then.
	Sleep func(ctx context.Context, d time.Duration) error
}

// RealClock is the time of the world.
func RealClock() Clock {
	return Clock{Now: time.Now, Sleep: func(ctx context.Context, d time.Duration) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// Rate is a Limiter that lets a number of bytes through per second, and as many
// at once after a pause: what remote.log.manager.copy.max.bytes.per.second means
// for all uploads of a broker that share it. It may be used by any goroutine.
type Rate struct {
	clock Clock

	mu    sync.Mutex
	limit int64     // bytes per second; 0: none
	free  time.Time // when all that was let through so far is paid for
}

// NewRate returns a Rate of bytesPerSecond; 0 or less means no limit.
func NewRate(bytesPerSecond int64, clock Clock) *Rate {
	r := &Rate{clock: clock}
	r.SetLimit(bytesPerSecond)
	return r
}

// SetLimit changes the limit for all that is let through from now on.
func (r *Rate) SetLimit(bytesPerSecond int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = max(bytesPerSecond, 0)
}

// Wait implements Limiter.
func (r *Rate) Wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d := r.take(n); d > 0 {
		return r.clock.Sleep(ctx, d)
	}
	return nil
}

// rateBurst is how much of the past may be made up for.
const rateBurst = time.Second

// take reserves n bytes and returns how long to wait until they may be sent.
func (r *Rate) take(n int) time.Duration {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 {
		r.free = time.Time{}
		return 0
	}
	if earliest := now.Add(-rateBurst); r.free.Before(earliest) {
		r.free = earliest
	}
	// n is at most 64 KiB, so that the product fits.
	r.free = r.free.Add(time.Duration(int64(n) * int64(time.Second) / r.limit))
	return r.free.Sub(now)
}
