package broker

import (
	"sync"
	"time"

	"github.com/varvelog/varve/broker/replog"
)

// taskPool performs the tasks of one class on a fixed number of goroutines.
type taskPool struct {
	tasks chan replog.Task
}

// pools performs tasks by class and gives each back through done.
type pools struct {
	byClass   map[replog.Class]*taskPool
	wg        sync.WaitGroup
	performed func(replog.Task, time.Duration) // told of every task; nil: nobody
}

// newPools starts the goroutines. The bound of each queue is above what the
// engine ever has out, so handing over a task does not block: one commit, one
// preparation and one removal of the write-ahead log, and TasksMax of machines.
func newPools(tasksMax int, done func(replog.Task)) *pools {
	p := &pools{byClass: map[replog.Class]*taskPool{}}
	for class, workers := range map[replog.Class]int{
		replog.ClassCommit: 1, replog.ClassPrepare: 1, replog.ClassSegment: 2, replog.ClassSync: 4,
	} {
		t := &taskPool{tasks: make(chan replog.Task, 2*tasksMax+4)}
		p.byClass[class] = t
		for range workers {
			p.wg.Go(func() {
				for task := range t.tasks {
					began := time.Now()
					_ = task.Do() // the task keeps its error for the engine
					if p.performed != nil {
						p.performed(task, time.Since(began))
					}
					done(task)
				}
			})
		}
	}
	return p
}

func (p *pools) perform(t replog.Task) { p.byClass[t.Class()].tasks <- t }

// close waits for the tasks in hand and ends the goroutines.
func (p *pools) close() {
	for _, t := range p.byClass {
		close(t.tasks)
	}
	p.wg.Wait()
}

// workers performs work that may wait for the disk, in order of arrival. What
// waits is bounded by the requests that the listener admits.
type workers struct {
	mu     sync.Mutex
	cond   *sync.Cond
	queue  []func()
	closed bool
	wg     sync.WaitGroup
}

func newWorkers(n int) *workers {
	w := &workers{}
	w.cond = sync.NewCond(&w.mu)
	w.grow(n)
	return w
}

// grow adds goroutines.
func (w *workers) grow(n int) {
	for range n {
		w.wg.Go(w.work)
	}
}

func (w *workers) run(f func()) {
	w.mu.Lock()
	w.queue = append(w.queue, f)
	w.mu.Unlock()
	w.cond.Signal()
}

// waiting returns how much work nobody has begun.
func (w *workers) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

func (w *workers) work() {
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.cond.Wait()
		}
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		f := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		f()
	}
}

// close performs what waits and ends the goroutines.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cond.Broadcast()
	w.wg.Wait()
}
