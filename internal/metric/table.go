package metric

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is what a metric is.
type Kind uint8

// The kinds of metrics.
const (
	KindCounter Kind = iota
	KindGauge
	KindHistogram
)

// String returns Prometheus' name of the kind.
func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// A Label is a dimension of a metric. With neither Values nor Max it is open:
// see the package's second invariant.
type Label struct {
	Name string
	// Values are all that it takes; anything else is "other".
	Values []string
	// Max values are told apart and never forgotten; what comes later is
	// "other".
	Max int
}

// open says whether the label counts against the Set's bound.
func (l *Label) open() bool { return len(l.Values) == 0 && l.Max == 0 }

// Open is a label with any value, such as a topic's name.
func Open(name string) Label { return Label{Name: name} }

// OneOf is a label with a few values.
func OneOf(name string, values ...string) Label { return Label{Name: name, Values: values} }

// AtMost is a label whose values are known to somebody else to be few.
func AtMost(name string, n int) Label { return Label{Name: name, Max: n} }

// Other is the value of labels that are not told apart.
const Other = "other"

// Desc declares a metric.
type Desc struct {
	// Name is in Prometheus' style: lower case, base unit last, _total behind
	// that for counters.
	Name    string
	Kind    Kind
	Section string // of the reference page
	Help    string // one sentence or more, ending with a period
	Labels  []Label
	// Scale is how many of what is recorded make one of the exported unit: 1e9
	// where nanoseconds are recorded. 0 is 1.
	Scale float64
	// Bounds are the upper bounds of a histogram's buckets, in what is recorded,
	// ascending.
	Bounds []int64
}

// A CounterDesc declares a counter, a GaugeDesc a gauge, a HistogramDesc a
// histogram. They are made by a Table.
type (
	CounterDesc   struct{ *Desc }
	GaugeDesc     struct{ *Desc }
	HistogramDesc struct{ *Desc }
)

// A Table declares metrics, in the order of the reference page. The zero value
// is empty.
type Table struct {
	descs   []*Desc
	section string
}

// Section begins a section of the reference page: metrics that are declared from
// now on belong to it. It returns true, so that a variable can call it between
// others.
func (t *Table) Section(name string) bool {
	t.section = name
	return true
}

func (t *Table) add(d Desc) *Desc {
	if d.Scale == 0 {
		d.Scale = 1
	}
	d.Section = t.section
	t.descs = append(t.descs, &d)
	return &d
}

// Counter declares a counter.
func (t *Table) Counter(name, help string, labels ...Label) CounterDesc {
	return CounterDesc{t.add(Desc{Name: name, Kind: KindCounter, Help: help, Labels: labels})}
}

// SecondsCounter declares a counter of seconds in which nanoseconds are recorded.
func (t *Table) SecondsCounter(name, help string, labels ...Label) CounterDesc {
	return CounterDesc{t.add(Desc{Name: name, Kind: KindCounter, Help: help, Labels: labels, Scale: 1e9})}
}

// Gauge declares a gauge.
func (t *Table) Gauge(name, help string, labels ...Label) GaugeDesc {
	return GaugeDesc{t.add(Desc{Name: name, Kind: KindGauge, Help: help, Labels: labels})}
}

// Histogram declares a histogram.
func (t *Table) Histogram(name, help string, bounds []int64, labels ...Label) HistogramDesc {
	return HistogramDesc{t.add(Desc{Name: name, Kind: KindHistogram, Help: help, Labels: labels, Bounds: bounds})}
}

// SecondsHistogram declares a histogram of seconds in which nanoseconds are
// recorded; its bounds are nanoseconds.
func (t *Table) SecondsHistogram(name, help string, bounds []int64, labels ...Label) HistogramDesc {
	return HistogramDesc{t.add(Desc{Name: name, Kind: KindHistogram, Help: help, Labels: labels, Bounds: bounds, Scale: 1e9})}
}

// Descs returns the declared metrics in their order. They must not be changed.
func (t *Table) Descs() []*Desc { return slices.Clone(t.descs) }

// ErrTable: a table with a declaration that breaks the rules.
var ErrTable = errors.New("metric: bad declaration")

var (
	nameRule  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)
	labelRule = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	// badUnits are units that are not base units, and ends that Prometheus gives
	// a meaning.
	badUnits = []string{"ms", "millis", "milliseconds", "microseconds", "nanoseconds", "us", "ns", "minutes", "hours", "kb", "mb", "kib", "mib", "percent", "count", "sum", "bucket"}
)

// Check returns every declaration that breaks Prometheus' rules of naming or
// lacks something.
func (t *Table) Check() error {
	var errs []error
	seen := map[string]bool{}
	for _, d := range t.descs {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%w: %s: %s", ErrTable, d.Name, fmt.Sprintf(format, args...)))
		}
		if seen[d.Name] {
			bad("stands twice")
		}
		seen[d.Name] = true
		d.check(bad)
	}
	return errors.Join(errs...)
}

func (d *Desc) check(bad func(string, ...any)) {
	base, total := strings.CutSuffix(d.Name, "_total")
	if !nameRule.MatchString(d.Name) {
		bad("not a name")
	}
	if total != (d.Kind == KindCounter) {
		bad("counters, and only they, end with _total")
	}
	if parts := strings.Split(base, "_"); slices.Contains(badUnits, parts[len(parts)-1]) {
		bad("%s is not a base unit", parts[len(parts)-1])
	}
	if (d.Scale == 1e9) != strings.HasSuffix(base, "_seconds") && d.Kind != KindGauge {
		bad("recorded in nanoseconds means exported in _seconds")
	}
	if !strings.HasSuffix(d.Help, ".") || strings.ContainsAny(d.Help, "\n|") || d.Section == "" {
		bad("needs a section, and a help that is a sentence")
	}
	if (d.Kind == KindHistogram) != (len(d.Bounds) > 0) || !slices.IsSorted(d.Bounds) || len(slices.Compact(slices.Clone(d.Bounds))) != len(d.Bounds) {
		bad("histograms, and only they, have ascending bounds")
	}
	names := map[string]bool{"le": true, "quantile": true}
	for _, l := range d.Labels {
		if !labelRule.MatchString(l.Name) || names[l.Name] {
			bad("label %q", l.Name)
		}
		names[l.Name] = true
	}
}
