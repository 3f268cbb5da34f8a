package metric

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// producer gives a Set to OpenTelemetry.
type producer struct{ s *Set }

// scope names this package in what is exported.
var scope = instrumentation.Scope{Name: "github.com/varvelog/varve/internal/metric"}

// Produce implements the SDK's Producer.
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	sink := p.s.collect()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	now := time.Now()
	out := metricdata.ScopeMetrics{Scope: scope}
	for _, d := range p.s.table.descs {
		m := metricdata.Metrics{Name: d.Name, Description: d.Help}
		f := p.s.families[d]
		switch d.Kind {
		case KindCounter:
			m.Data = metricdata.Sum[float64]{DataPoints: f.points(sink.told[d], now), Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
		case KindGauge:
			m.Data = metricdata.Gauge[float64]{DataPoints: f.points(sink.told[d], now)}
		case KindHistogram:
			m.Data = metricdata.Histogram[float64]{DataPoints: f.histograms(now), Temporality: metricdata.CumulativeTemporality}
		}
		out.Metrics = append(out.Metrics, m)
	}
	return []metricdata.ScopeMetrics{out}, nil
}

// collect asks all collectors, without holding the set's lock.
func (s *Set) collect() *Sink {
	s.scraping.Lock()
	defer s.scraping.Unlock()
	s.mu.Lock()
	collectors := slices.Clone(s.collectors)
	s.mu.Unlock()
	s.scrapes++
	k := &Sink{set: s, scrape: s.scrapes, told: map[*Desc]map[string]*told{}}
	for _, f := range collectors {
		f(k)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.limits { // order: each is for itself
		l.sweep(k.scrape)
	}
	return k
}

// points returns a family's values, its own and those that were told, by label
// values.
func (f *family) points(extra map[string]*told, now time.Time) []metricdata.DataPoint[float64] {
	values, labels := map[string]float64{}, map[string][]string{}
	for key, s := range f.series { // order: sorted below
		values[key] = float64(s.counter.Value()) / f.d.Scale
		labels[key] = s.labels
	}
	for key, t := range extra { // order: sorted below
		values[key] += t.value
		labels[key] = t.labels
	}
	out := make([]metricdata.DataPoint[float64], 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out = append(out, metricdata.DataPoint[float64]{Attributes: f.attributes(labels[key]), Time: now, Value: values[key]})
	}
	return out
}

func (f *family) histograms(now time.Time) []metricdata.HistogramDataPoint[float64] {
	bounds := make([]float64, len(f.d.Bounds))
	for i, b := range f.d.Bounds {
		bounds[i] = float64(b) / f.d.Scale
	}
	out := make([]metricdata.HistogramDataPoint[float64], 0, len(f.series))
	for _, key := range slices.Sorted(maps.Keys(f.series)) {
		s := f.series[key]
		p := metricdata.HistogramDataPoint[float64]{
			Attributes: f.attributes(s.labels), Time: now, Bounds: bounds,
			BucketCounts: make([]uint64, len(s.histogram.counts)),
			Sum:          float64(s.histogram.sum.Load()) / f.d.Scale,
		}
		for i := range s.histogram.counts {
			p.BucketCounts[i] = s.histogram.counts[i].Load()
			p.Count += p.BucketCounts[i]
		}
		out = append(out, p)
	}
	return out
}

func (f *family) attributes(values []string) attribute.Set {
	kv := make([]attribute.KeyValue, len(values))
	for i, v := range values {
		kv[i] = attribute.String(f.d.Labels[i].Name, v)
	}
	return attribute.NewSet(kv...)
}
