package metric

import (
	"slices"
	"strings"
	"sync"
)

// A Set holds the values of a table's metrics.
type Set struct {
	table *Table

	mu         sync.Mutex
	families   map[*Desc]*family
	limits     map[string]*limit // by the names of the open labels
	collectors []func(*Sink)

	scraping sync.Mutex // held while collectors run
	scrapes  uint64     // guarded by scraping
}

// NewSet returns a set in which at most max tuples of the same open labels have
// series of their own.
func NewSet(t *Table, max int) *Set {
	s := &Set{table: t, families: map[*Desc]*family{}, limits: map[string]*limit{}}
	for _, d := range t.descs {
		s.families[d] = newFamily(d, s.limits, max)
	}
	return s
}

// series returns the series of a tuple, nil for a metric of another table.
func (s *Set) series(d *Desc, values []string) *series {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.families[d]; f != nil {
		return f.at(values)
	}
	return nil
}

// Counter returns the counter of a tuple of label values, in the order of their
// declaration. It takes a lock: keep what it returns. A nil Set gives nil.
func (s *Set) Counter(d CounterDesc, values ...string) *Counter {
	if s == nil {
		return nil
	}
	if x := s.series(d.Desc, values); x != nil {
		return &x.counter
	}
	return nil
}

// Histogram is as Counter, for a histogram.
func (s *Set) Histogram(d HistogramDesc, values ...string) *Histogram {
	if s == nil {
		return nil
	}
	if x := s.series(d.Desc, values); x != nil {
		return x.histogram
	}
	return nil
}

// Collect registers a function that is called at every scrape to tell values
// that are kept elsewhere. It must be quick: the scrape waits for it.
func (s *Set) Collect(f func(*Sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collectors = append(s.collectors, f)
}

// Forget ends all series in which an open label has a value, such as a deleted
// topic's, and gives their places to others. Instruments that are still held for
// it count nothing that is seen. What is summed as "other" stays.
func (s *Set) Forget(label, value string) {
	if value = clean(value); value == Other {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.families { // order: each is for itself
		f.forget(label, value)
	}
	for names, l := range s.limits { // order: each is for itself
		at := slices.Index(strings.Split(names, separator), label)
		if at < 0 {
			continue
		}
		for tuple := range l.tuples { // order: each is for itself
			if strings.Split(tuple, separator)[at] == value {
				delete(l.tuples, tuple)
			}
		}
	}
}

// A Sink takes the values of one scrape. Values of one tuple are summed. It is
// used by the function that it was given to, until that returns.
type Sink struct {
	set    *Set
	scrape uint64
	told   map[*Desc]map[string]*told
}

// told is a tuple's value as collectors told it.
type told struct {
	labels []string
	value  float64
}

// Gauge tells a gauge's value, in the exported unit.
func (k *Sink) Gauge(d GaugeDesc, v float64, values ...string) { k.tell(d.Desc, v, values) }

// Counter tells a counter's value, in the exported unit. Where the set has a
// counter of the same tuple, it is added to that.
func (k *Sink) Counter(d CounterDesc, v float64, values ...string) { k.tell(d.Desc, v, values) }

func (k *Sink) tell(d *Desc, v float64, values []string) {
	k.set.mu.Lock()
	defer k.set.mu.Unlock()
	f := k.set.families[d]
	if f == nil {
		return
	}
	final, place := f.resolve(values)
	if place != nil {
		place.told = k.scrape
	}
	key := strings.Join(final, separator)
	if k.told[d] == nil {
		k.told[d] = map[string]*told{}
	}
	if x := k.told[d][key]; x != nil {
		x.value += v
		return
	}
	k.told[d][key] = &told{labels: final, value: v}
}
