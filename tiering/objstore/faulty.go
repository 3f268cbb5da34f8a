package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// OpKind is a method of Store.
type OpKind uint8

// The methods that a Faulty asks about.
const (
	OpPut OpKind = iota + 1
	OpGetRange
	OpHead
	OpList
	OpDelete
)

// Op is a call that is about to be made.
type Op struct {
	Kind OpKind
	Key  string // the prefix of a List, the first key of a Delete
	N    int64  // counts the calls of the store from 1
}

// Fault is what goes wrong with one call. The zero value is nothing.
type Fault struct {
	// Err is returned instead of doing the call. It should match one of the
	// package's errors.
	Err error
	// Lost makes the call, and then fails with ErrUnavailable.
	Lost bool
	// Timeout waits until the context ends and then fails as after a deadline;
	// together with Lost the call is made first. Without a deadline or cancel
	// in the context it does not wait.
	Timeout bool
	// Body is called before each piece of at most 64 KiB of the body of a Put or
	// GetRange is moved, with the piece's offset in it. It may block, as a slow
	// line does. An error breaks the body off there: the Put has no effect, the
	// GetRange has filled the buffer so far, and both fail with ErrUnavailable.
	Body func(off int64) error
	// Stale makes a List not see the last Stale puts and deletes that went
	// through this store, as a list of an eventually consistent store.
	Stale int
	// Corrupt flips one bit of what a GetRange returns: that of the byte at
	// CorruptAt, counted from the range's begin, modulo its length.
	Corrupt   bool
	CorruptAt int
}

const (
	pieceBytes = 64 << 10
	staleMax   = 1024
)

// Faulty is a Store that behaves like another one, except where a function says
// otherwise. It is for tests, of the package and of its users.
type Faulty struct {
	inner  Store
	inject func(context.Context, Op) Fault

	mu     sync.Mutex
	n      int64
	recent []mutation // the last changes, oldest first, at most staleMax
}

// mutation is a change that went through: key was before, if it existed.
type mutation struct {
	key     string
	existed bool
	before  Object
}

// NewFaulty wraps a store. inject is asked before every call but Close; it may
// be called from several goroutines at once, and may block. Close closes inner.
func NewFaulty(inner Store, inject func(context.Context, Op) Fault) *Faulty {
	return &Faulty{inner: inner, inject: inject}
}

func (f *Faulty) ask(ctx context.Context, kind OpKind, key string) Fault {
	f.mu.Lock()
	f.n++
	op := Op{Kind: kind, Key: key, N: f.n}
	f.mu.Unlock()
	return f.inject(ctx, op)
}

// do makes a call as its fault says.
func (f *Faulty) do(ctx context.Context, op, key string, fault Fault, call func() error) error {
	if fault.Err != nil {
		return fault.Err
	}
	if fault.Timeout && !fault.Lost {
		return timeout(ctx, op, key)
	}
	err := call()
	switch {
	case err != nil || !fault.Lost:
		return err
	case fault.Timeout:
		return timeout(ctx, op, key)
	}
	return newError(op, key, ErrUnavailable, "the answer was lost")
}

func timeout(ctx context.Context, op, key string) error {
	if done := ctx.Done(); done != nil {
		<-done
		return contextError(ctx, op, key)
	}
	return &storeError{op: op, key: key, kind: ErrUnavailable, detail: "deadline exceeded", cause: context.DeadlineExceeded}
}

// Put implements Store.
func (f *Faulty) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o PutOptions) (Info, error) {
	fault := f.ask(ctx, OpPut, key)
	if fault.Body != nil {
		body = &brokenBody{body, fault.Body}
	}
	var info Info
	err := f.do(ctx, "put", key, fault, func() (err error) {
		err = f.change(ctx, []string{key}, func() error {
			info, err = f.inner.Put(ctx, key, body, size, o)
			return err
		})
		if fault.Body != nil && errors.Is(err, errBroken) {
			err = newError("put", key, ErrUnavailable, "the body broke off")
		}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

var errBroken = errors.New("objstore: the body broke off")

// brokenBody asks before every piece of a body.
type brokenBody struct {
	io.ReaderAt
	before func(off int64) error
}

func (b *brokenBody) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		if err := b.before(off + int64(n)); err != nil {
			return n, fmt.Errorf("%w: %w", errBroken, err)
		}
		m, err := b.ReaderAt.ReadAt(p[n:min(n+pieceBytes, len(p))], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// GetRange implements Store.
func (f *Faulty) GetRange(ctx context.Context, key string, off int64, into []byte) error {
	fault := f.ask(ctx, OpGetRange, key)
	return f.do(ctx, "get", key, fault, func() error {
		if err := f.get(ctx, key, off, into, fault.Body); err != nil {
			return err
		}
		if fault.Corrupt && len(into) > 0 {
			into[fault.CorruptAt%len(into)] ^= 1
		}
		return nil
	})
}

// get reads in one call, so that pieces are of one version of the object, and
// then takes back what lies behind a broken piece.
func (f *Faulty) get(ctx context.Context, key string, off int64, into []byte, before func(off int64) error) error {
	if err := f.inner.GetRange(ctx, key, off, into); err != nil || before == nil {
		return err
	}
	for at := 0; at < len(into); at += pieceBytes {
		if err := before(int64(at)); err != nil {
			clear(into[at:])
			return newError("get", key, ErrUnavailable, "the body broke off")
		}
	}
	return nil
}

// Head implements Store.
func (f *Faulty) Head(ctx context.Context, key string) (Info, error) {
	var info Info
	err := f.do(ctx, "head", key, f.ask(ctx, OpHead, key), func() (err error) {
		info, err = f.inner.Head(ctx, key)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// List implements Store.
func (f *Faulty) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	fault := f.ask(ctx, OpList, prefix)
	var found []Object
	err := f.do(ctx, "list", prefix, fault, func() (err error) {
		if fault.Stale > 0 {
			found, err = f.listStale(ctx, prefix, after, limit, fault.Stale)
		} else {
			found, err = f.inner.List(ctx, prefix, after, limit)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// listStale lists with the last n changes undone.
func (f *Faulty) listStale(ctx context.Context, prefix, after string, limit, n int) ([]Object, error) {
	was := map[string]mutation{} // the oldest of the changes undone decides
	f.mu.Lock()
	for _, m := range slices.Backward(f.recent[max(0, len(f.recent)-n):]) {
		was[m.key] = m
	}
	f.mu.Unlock()
	limit, err := checkList(prefix, after, limit)
	if err != nil {
		return nil, err
	}
	var found []Object
	for from := after; ; {
		page, err := f.inner.List(ctx, prefix, from, ListMax)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if _, changed := was[o.Key]; !changed {
				found = append(found, o)
			}
		}
		if len(page) < ListMax || len(found) >= limit {
			break
		}
		from = page[len(page)-1].Key
	}
	// order: the result is sorted below.
	for key, m := range was {
		if m.existed && strings.HasPrefix(key, prefix) && key > after {
			found = append(found, m.before)
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return found[:min(limit, len(found))], nil
}

// Delete implements Store.
func (f *Faulty) Delete(ctx context.Context, keys ...string) error {
	first := ""
	if len(keys) > 0 {
		first = keys[0]
	}
	return f.do(ctx, "delete", first, f.ask(ctx, OpDelete, first), func() error {
		return f.change(ctx, keys, func() error { return f.inner.Delete(ctx, keys...) })
	})
}

// change makes a change and remembers what was there before, if it succeeds.
func (f *Faulty) change(ctx context.Context, keys []string, do func() error) error {
	before := make([]mutation, 0, len(keys))
	for _, key := range keys {
		m := mutation{key: key}
		if info, err := f.inner.Head(ctx, key); err == nil {
			m.existed, m.before = true, Object{Key: key, Size: info.Size, Modified: info.Modified}
		}
		before = append(before, m)
	}
	if err := do(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = append(f.recent, before...)
	if over := len(f.recent) - staleMax; over > 0 {
		f.recent = slices.Delete(f.recent, 0, over)
	}
	return nil
}

// Close implements Store.
func (f *Faulty) Close() error { return f.inner.Close() }
