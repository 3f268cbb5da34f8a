//go:build invariants

package invariant

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Enabled reports whether costly checks are compiled in.
const Enabled = true

type gauge struct {
	name string
	n    atomic.Int64
}

var gauges struct {
	sync.Mutex
	all []*Gauge
}

// NewGauge returns a gauge at zero. The name says what it counts.
func NewGauge(name string) *Gauge {
	g := &Gauge{gauge{name: name}}
	gauges.Lock()
	defer gauges.Unlock()
	gauges.all = append(gauges.all, g)
	return g
}

// Add counts n more, or less if it is negative. What is given back twice fails
// at once.
func (g *Gauge) Add(n int64) {
	if now := g.n.Add(n); now < 0 {
		Fail("%s: %d more were given back than taken", g.name, -now)
	}
}

// Outstanding says which gauges are not at zero, in the order in which they were
// made.
func Outstanding() []string {
	gauges.Lock()
	defer gauges.Unlock()
	var left []string
	for _, g := range gauges.all {
		if n := g.n.Load(); n != 0 {
			left = append(left, fmt.Sprintf("%s: %d are not given back", g.name, n))
		}
	}
	return left
}
