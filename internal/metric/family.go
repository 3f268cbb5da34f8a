package metric

import (
	"slices"
	"strings"
)

// labelBytesMax bounds a label's value: the names of groups come from clients.
const labelBytesMax = 255

// separator stands between the values of labels in keys. It is in no value,
// since values are valid UTF-8.
const separator = "\xff"

// limit holds the tuples of open labels that have series of their own.
type limit struct {
	max    int
	tuples map[string]*tuple
}

// tuple is what keeps a place of a limit: instruments, or what collectors told
// at the last scrape.
type tuple struct {
	series int    // with an instrument
	told   uint64 // the scrape that it was told at
}

// admit returns a tuple that has series of its own, giving it a place if there
// is one, or nil.
func (l *limit) admit(key string) *tuple {
	t := l.tuples[key]
	if t == nil && len(l.tuples) < l.max {
		t = &tuple{}
		l.tuples[key] = t
	}
	return t
}

// sweep takes the places of tuples that nothing keeps after a scrape.
func (l *limit) sweep(scrape uint64) {
	for key, t := range l.tuples { // order: each is looked at for itself
		if t.series == 0 && t.told < scrape {
			delete(l.tuples, key)
		}
	}
}

// family is one metric's series. It is guarded by the Set's mutex.
type family struct {
	d      *Desc
	limit  *limit                // of the open labels, nil without any
	values []map[string]struct{} // by label, of those that have declared or counted values
	series map[string]*series    // by the values of all labels
}

// series is one tuple of label values and its instrument.
type series struct {
	labels    []string
	counter   Counter
	histogram *Histogram
}

func newFamily(d *Desc, limits map[string]*limit, max int) *family {
	f := &family{d: d, series: map[string]*series{}, values: make([]map[string]struct{}, len(d.Labels))}
	var open []string
	for i := range d.Labels {
		l := &d.Labels[i]
		if l.open() {
			open = append(open, l.Name)
			continue
		}
		f.values[i] = map[string]struct{}{}
		for _, v := range l.Values {
			f.values[i][v] = struct{}{}
		}
	}
	if len(open) == 0 {
		return f
	}
	name := strings.Join(open, separator)
	if limits[name] == nil {
		limits[name] = &limit{max: max, tuples: map[string]*tuple{}}
	}
	f.limit = limits[name]
	return f
}

// resolve returns the values under which a tuple is counted, and its place if it
// has one.
func (f *family) resolve(values []string) ([]string, *tuple) {
	final := make([]string, len(f.d.Labels))
	copy(final, values)
	var open []string
	for i := range final {
		final[i] = clean(final[i])
		l := &f.d.Labels[i]
		switch _, known := f.values[i][final[i]]; {
		case l.open():
			open = append(open, final[i])
		case known:
		case len(f.values[i]) < l.Max:
			f.values[i][final[i]] = struct{}{}
		default:
			final[i] = Other
		}
	}
	if f.limit == nil {
		return final, nil
	}
	t := f.limit.admit(strings.Join(open, separator))
	for i := range final {
		if t == nil && f.d.Labels[i].open() {
			final[i] = Other
		}
	}
	return final, t
}

// clean makes a value of anything.
func clean(v string) string {
	if len(v) > labelBytesMax {
		v = v[:labelBytesMax]
	}
	return strings.ToValidUTF8(v, "\uFFFD")
}

// at returns the series of a tuple.
func (f *family) at(values []string) *series {
	final, place := f.resolve(values)
	key := strings.Join(final, separator)
	s := f.series[key]
	if s == nil {
		if place != nil {
			place.series++
		}
		s = &series{labels: final}
		if f.d.Kind == KindHistogram {
			s.histogram = newHistogram(f.d.Bounds)
		}
		f.series[key] = s
	}
	return s
}

// forget drops the series in which an open label has a value.
func (f *family) forget(label, value string) {
	at := slices.IndexFunc(f.d.Labels, func(l Label) bool { return l.open() && l.Name == label })
	if at < 0 {
		return
	}
	for key, s := range f.series { // order: each is looked at for itself
		if s.labels[at] == value {
			delete(f.series, key)
		}
	}
}
