package metrictest

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A Scrape is the answer to one scrape.
type Scrape struct {
	families map[string]*dto.MetricFamily
}

// Get scrapes a URL. It blocks until the answer is there.
func Get(url string) (*Scrape, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape %s: %s", url, resp.Status)
	}
	return Parse(resp.Body)
}

// Parse reads Prometheus text.
func Parse(r io.Reader) (*Scrape, error) {
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("parse a scrape: %w", err)
	}
	return &Scrape{families}, nil
}

// Names returns the metrics, sorted.
func (s *Scrape) Names() []string {
	var names []string
	for name := range s.families { // order: sorted below
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Kind returns a metric's kind as Prometheus names it, empty if it is not there.
func (s *Scrape) Kind(name string) string {
	if f := s.families[name]; f != nil {
		return strings.ToLower(f.GetType().String())
	}
	return ""
}

// Help returns a metric's help.
func (s *Scrape) Help(name string) string { return s.families[name].GetHelp() }

// Value returns the sum of a metric's series that have all of the labels, given
// as name=value, and how many there are. A histogram's value is its count.
func (s *Scrape) Value(name string, labels ...string) (sum float64, series int) {
	for _, m := range s.families[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		series++
		switch {
		case m.Counter != nil:
			sum += m.Counter.GetValue()
		case m.Gauge != nil:
			sum += m.Gauge.GetValue()
		case m.Histogram != nil:
			sum += float64(m.Histogram.GetSampleCount())
		}
	}
	return sum, series
}

// Sum returns the sum of the values that a histogram's series with the labels
// have recorded.
func (s *Scrape) Sum(name string, labels ...string) (sum float64) {
	for _, m := range s.families[name].GetMetric() {
		if has(m, labels) {
			sum += m.Histogram.GetSampleSum()
		}
	}
	return sum
}

// Bucket returns how many values of a histogram's series with the labels are at
// most bound, which is the bound of one of its buckets.
func (s *Scrape) Bucket(name string, bound float64, labels ...string) (n uint64) {
	for _, m := range s.families[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		for _, b := range m.Histogram.GetBucket() {
			if b.GetUpperBound() == bound {
				n += b.GetCumulativeCount()
			}
		}
	}
	return n
}

// Labels returns the values of a label in a metric's series, sorted.
func (s *Scrape) Labels(name, label string) []string {
	var out []string
	for _, m := range s.families[name].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label {
				out = append(out, l.GetValue())
			}
		}
	}
	sort.Strings(out)
	return out
}

func has(m *dto.Metric, labels []string) bool {
	for _, want := range labels {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName()+"="+l.GetValue() == want
		}
		if !found {
			return false
		}
	}
	return true
}
