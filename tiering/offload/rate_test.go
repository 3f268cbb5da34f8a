package offload_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
)

// fakeTime goes on only by sleeping.
type fakeTime struct {
	mu    sync.Mutex
	now   time.Time
	slept time.Duration
}

func (f *fakeTime) clock() offload.Clock {
	return offload.Clock{
		Now: func() time.Time {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.now
		},
		Sleep: func(ctx context.Context, d time.Duration) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if err := ctx.Err(); err != nil {
				return err
			}
			f.now = f.now.Add(d)
			f.slept += d
			return nil
		},
	}
}

func TestRate(t *testing.T) {
	f := &fakeTime{now: time.Unix(1000, 0)}
	r := offload.NewRate(1000, f.clock())
	wait := func(n int) time.Duration {
		t.Helper()
		before := f.slept
		if err := r.Wait(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		return f.slept - before
	}
	for i, c := range []struct {
		bytes int
		pause time.Duration // before
		want  time.Duration
	}{
		{1000, 0, 0}, // a second's worth at once
		{500, 0, 500 * time.Millisecond},
		{250, 0, 250 * time.Millisecond},
		{250, 100 * time.Millisecond, 150 * time.Millisecond},
		{2000, time.Hour, time.Second}, // a pause is made up for by a second, no more
	} {
		f.now = f.now.Add(c.pause)
		if got := wait(c.bytes); got != c.want {
			t.Errorf("%d: waited %v, want %v", i, got, c.want)
		}
	}
	r.SetLimit(100)
	if got := wait(10); got != 100*time.Millisecond {
		t.Errorf("waited %v after the change", got)
	}
	r.SetLimit(0)
	if got := wait(1 << 16); got != 0 {
		t.Errorf("waited %v without a limit", got)
	}
	r.SetLimit(1) // the slowest there is
	if got := wait(1 << 16); got != (1<<16-1)*time.Second {
		t.Errorf("waited %v at a byte per second", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// restless reads the body of every put three times, as a library does that counts
// a checksum and a signature first.
type restless struct{ objstore.Store }

func (s restless) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o objstore.PutOptions) (objstore.Info, error) {
	for range 2 {
		if _, err := io.Copy(io.Discard, io.NewSectionReader(body, 0, size)); err != nil {
			return objstore.Info{}, err
		}
	}
	return s.Store.Put(ctx, key, body, size, o)
}

func TestUploadKeepsTheRate(t *testing.T) {
	f := &fakeTime{now: time.Unix(1000, 0)}
	st := restless{open(t, "mem://")}
	rate := offload.NewRate(10_000, f.clock())
	j := job(0)
	seg, err := offload.Upload(t.Context(), st, j, offload.Options{Limiter: rate})
	if err != nil {
		t.Fatal(err)
	}
	mustBeRight(t, st, j, seg)
	want := time.Duration(seg.ObjectBytes)*time.Second/10_000 - time.Second
	if f.slept != want {
		t.Errorf("%d bytes took %v, want %v", seg.ObjectBytes, f.slept, want)
	}
}

// An upload that waits for the limit ends with its context.
func TestUploadEndsWhileItWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	clock := offload.Clock{Now: func() time.Time { return time.Unix(5, 0) }, Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	st := open(t, "mem://")
	j := job(0)
	_, err := offload.Upload(ctx, st, j, offload.Options{Limiter: offload.NewRate(1, clock)})
	if offload.ClassOf(err) != offload.Canceled || stored(t, st, keyOf(j)) != nil {
		t.Error(err)
	}
}
