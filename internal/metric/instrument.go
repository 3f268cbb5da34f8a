package metric

import "sync/atomic"

// A Counter counts one series. Its methods do nothing for nil.
type Counter struct{ n atomic.Int64 }

// Add adds what is recorded; n is not negative.
func (c *Counter) Add(n int64) {
	if c != nil && n > 0 {
		c.n.Add(n)
	}
}

// Value returns what was recorded so far, 0 for nil.
func (c *Counter) Value() int64 {
	if c == nil {
		return 0
	}
	return c.n.Load()
}

// A Histogram sorts one series' values into buckets. Its methods do nothing for
// nil.
type Histogram struct {
	bounds []int64
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Int64
}

func newHistogram(bounds []int64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Record records one value, negative ones as 0.
func (h *Histogram) Record(v int64) {
	if h == nil {
		return
	}
	v = max(v, 0)
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// Count returns how many values were recorded so far, 0 for nil.
func (h *Histogram) Count() (n uint64) {
	if h == nil {
		return 0
	}
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}
