package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestTableAccounts: after any sequence of joins, publications and releases the
// memory in use is that of the chunks that are there, and within the bound.
func TestTableAccounts(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		tb := newTable(4000, 1000)
		tb.running = &sync.WaitGroup{}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		var held []*chunk    // a reference of a reader each
		var flights []*chunk // and of a flight
		for range 2000 {
			id := ChunkID{Offset: int64(rng.IntN(8))}
			switch rng.IntN(6) {
			case 0, 1:
				after := uint64(0)
				if rng.IntN(4) == 0 {
					after = uint64(rng.IntN(int(tb.born) + 1))
				}
				c, created, err := tb.join(id, []int{1000, 800, 300}[id.Offset%3], after)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, c)
				if created {
					tb.setCancel(c, func() {})
					flights = append(flights, c)
				}
			case 2:
				if len(held) > 0 {
					i := rng.IntN(len(held))
					tb.release(held[i])
					held[i] = held[len(held)-1]
					held = held[:len(held)-1]
				}
			case 3:
				if len(flights) == 0 {
					break
				}
				i := rng.IntN(len(flights))
				c := flights[i]
				flights[i] = flights[len(flights)-1]
				flights = flights[:len(flights)-1]
				reserved := c.started && c.ahead // read ahead has its memory already
				if !reserved && tb.reserve(ended, c.n) != nil {
					tb.publish(c, nil, false, context.Canceled)
				} else if data := tb.buffer(c.n); rng.IntN(3) == 0 {
					tb.unreserve(data, c.n)
					tb.publish(c, nil, true, ErrUnavailable)
				} else {
					tb.publish(c, data, rng.IntN(2) == 0, nil)
				}
				tb.release(c)
			case 4:
				if c, _ := tb.joinAhead(id, 900); c != nil {
					data := tb.buffer(c.n)
					tb.publish(c, data, true, nil)
					tb.release(c)
				}
			case 5:
				tb.drop(id, uint64(rng.IntN(int(tb.born)+1)))
			}
			if tb.used < 0 || tb.used > tb.max || tb.ahead < 0 || tb.ahead > tb.aheadMax {
				t.Fatalf("seed %d: %d in use, %d ahead", seed, tb.used, tb.ahead)
			}
			for _, c := range held {
				if c.ready && c.data == nil {
					t.Fatalf("seed %d: the memory of a chunk in use is gone", seed)
				}
			}
		}
		for _, c := range flights {
			tb.publish(c, nil, false, ErrClosed)
			tb.release(c)
		}
		for _, c := range held {
			tb.release(c)
		}
		tb.shrink(0)
		if tb.used != 0 || tb.ahead != 0 || len(tb.chunks) != 0 || tb.idle.len() != 0 {
			t.Fatalf("seed %d: %d in use, %d ahead, %d chunks in the end", seed, tb.used, tb.ahead, len(tb.chunks))
		}
		tb.close()
		if _, _, err := tb.join(ChunkID{}, 1, 0); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestLRU(t *testing.T) {
	l := newLRU[int, string]()
	for i, v := range []string{"a", "b", "c"} {
		l.put(i, v, int64(i+1))
	}
	if v, ok := l.get(0); !ok || v != "a" || l.cost != 6 {
		t.Error(v, ok, l.cost)
	}
	if k, v, _ := l.oldest(); k != 1 || v != "b" {
		t.Error(k, v)
	}
	l.put(1, "B", 10)
	if k, _, _ := l.oldest(); k != 2 || l.cost != 14 || *l.peek(1) != "B" {
		t.Error(k, l.cost)
	}
	if !l.remove(2) || l.remove(2) || l.cost != 11 || l.len() != 2 {
		t.Error(l.cost, l.len())
	}
	var order []int
	l.each(func(k int, _ *string) { order = append(order, k) })
	if len(order) != 2 || order[0] != 1 || order[1] != 0 {
		t.Error(order)
	}
}

// TestBudgetIsInOrder: what waits first gets first, however much it wants.
func TestBudgetIsInOrder(t *testing.T) {
	b := budget{max: 10}
	if n, err := b.acquire(t.Context(), 100); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	queued := func(n int) func() bool {
		return func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.queue.Len() == n
		}
	}
	order := make(chan int64, 3)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := b.acquire(ctx, 5)
		gaveUp <- err
	}()
	wait(queued(1))
	for i, want := range []int64{8, 1} {
		go func() {
			n, err := b.acquire(t.Context(), want)
			if err != nil {
				t.Error(err)
			}
			order <- n
		}()
		wait(queued(i + 2))
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.release(5)
	wait(queued(2))
	b.release(5)
	if got := (<-order) + (<-order); got != 9 || b.used != 9 {
		t.Error(got, b.used)
	}
}
