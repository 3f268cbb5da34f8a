package wire

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestBufferClasses(t *testing.T) {
	lastClass, lastSize := 0, 0
	for n := 1; n <= bufferBytesPooled; n += 1 + n/1000 {
		class, size := bufferClass(n)
		if class < lastClass || class > lastClass+1 || class >= bufferClasses || size < n || size < lastSize {
			t.Fatalf("%d bytes: class %d of %d bytes after class %d of %d", n, class, size, lastClass, lastSize)
		}
		if n > bufferBytesMin && (size-n)*5 > size+5 {
			t.Fatalf("%d bytes waste %d", n, size-n)
		}
		if again, same := bufferClass(size); again != class || same != size {
			t.Fatalf("class %d holds %d bytes, but those are of class %d", class, size, again)
		}
		lastClass, lastSize = class, size
	}
	if class, size := bufferClass(bufferBytesPooled); class != bufferClasses-1 || size != bufferBytesPooled {
		t.Errorf("the largest class is %d of %d bytes", class, size)
	}
	if class, size := bufferClass(bufferBytesPooled + 1); class != -1 || size != bufferBytesPooled+1 {
		t.Errorf("above the largest class: %d of %d bytes", class, size)
	}
}

func TestReleasedBuffersArePoisoned(t *testing.T) {
	p := newBufferPool()
	p.poison = true
	for _, n := range []int{0, 1, 1000, 70_000, bufferBytesPooled + 1} {
		buf := p.get(n)
		if len(buf.b) != n {
			t.Fatalf("a buffer of %d bytes, want %d", len(buf.b), n)
		}
		b := buf.b
		p.put(buf)
		if want := bytes.Repeat([]byte{poison}, n); !bytes.Equal(b, want) {
			t.Errorf("a released buffer of %d bytes is readable", n)
		}
	}
}

func TestBudgetIsFirstComeFirstServed(t *testing.T) {
	b := newBudget(100)
	got := make(chan int64)
	waitFor := func(n int) {
		t.Helper()
		for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
			if _, waiting := b.state(); waiting == n {
				return
			}
		}
		t.Fatalf("there are never %d waiters", n)
	}
	take := func(n int64, stop chan struct{}) {
		t.Helper()
		_, before := b.state()
		go func() {
			if n, ok := b.take(n, stop); ok {
				got <- n
			} else {
				got <- -1
			}
		}()
		waitFor(before + 1)
	}
	if n, ok := b.take(1000, nil); !ok || n != 100 {
		t.Fatalf("a request above the whole budget took %d, %v", n, ok)
	}
	stop := make(chan struct{})
	take(90, stop)
	take(80, nil)
	take(20, nil)
	b.give(85) // fits all but the first
	take(10, nil)
	close(stop)
	for range 2 {
		if n := get(t, got); n != -1 && n != 80 {
			t.Fatalf("took %d, want the stopped one and the one behind it", n)
		}
	}
	waitFor(2)
	b.give(15)
	if n := get(t, got); n != 20 {
		t.Fatalf("took %d, want 20", n)
	}
	b.give(80)
	if n := get(t, got); n != 10 {
		t.Fatalf("took %d, want 10", n)
	}
	b.give(30)
	if taken, waiting := b.state(); taken != 0 || waiting != 0 {
		t.Errorf("%d bytes taken, %d waiting in the end", taken, waiting)
	}
}

// Waiters that give up at the moment they are served lose nothing.
func TestBudgetKeepsItsTotal(t *testing.T) {
	b := newBudget(1000)
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(seed, 1))
			for range 2000 {
				stop := make(chan struct{})
				if rnd.IntN(2) == 0 {
					go close(stop)
				}
				if n, ok := b.take(1+rnd.Int64N(900), stop); ok {
					b.give(n)
				}
			}
		}()
	}
	wg.Wait()
	if taken, waiting := b.state(); taken != 0 || waiting != 0 {
		t.Errorf("%d bytes taken, %d waiting in the end", taken, waiting)
	}
}
