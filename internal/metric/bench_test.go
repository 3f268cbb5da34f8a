package metric

import (
	"context"
	"net/http/httptest"
	"strconv"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otelmetric "go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// The hot path: what a request costs in metrics.
func BenchmarkCounter(b *testing.B) {
	var t Table
	t.Section("s")
	c := NewSet(&t, 10).Counter(t.Counter("a_b_total", "Help."))
	if c != nil {
		b.Fatal("declared behind the set")
	}
	d := t.Counter("a_c_total", "Help.", Open("topic"))
	c = NewSet(&t, 10).Counter(d, "orders")
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c.Add(1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Add(1)
			}
		})
	})
}

func BenchmarkHistogram(b *testing.B) {
	var t Table
	t.Section("s")
	d := t.SecondsHistogram("a_b_seconds", "Help.", Latencies)
	h := NewSet(&t, 10).Histogram(d)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			h.Record(int64(i))
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				h.Record(5e6)
			}
		})
	})
}

// What is used instead of, for comparison: OpenTelemetry's own instruments with
// a precomputed attribute set.
func BenchmarkOpenTelemetry(b *testing.B) {
	m := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("bench")
	c, err := m.Int64Counter("c")
	if err != nil {
		b.Fatal(err)
	}
	h, err := m.Float64Histogram("h")
	if err != nil {
		b.Fatal(err)
	}
	set := otelmetric.WithAttributeSet(attribute.NewSet(attribute.String("topic", "orders")))
	add, record, ctx := []otelmetric.AddOption{set}, []otelmetric.RecordOption{set}, context.Background()
	b.Run("counter", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c.Add(ctx, 1, add...)
		}
	})
	b.Run("histogram", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			h.Record(ctx, 0.005, record...)
		}
	})
}

// A scrape of a thousand topics.
func BenchmarkScrape(b *testing.B) {
	var t Table
	t.Section("s")
	var descs []CounterDesc
	for _, name := range []string{"a_total", "b_total", "c_total", "d_total", "e_total"} {
		descs = append(descs, t.Counter("x_"+name, "Help.", Open("topic")))
	}
	s := NewSet(&t, 1000)
	for i := range 1000 {
		for _, d := range descs {
			s.Counter(d, "topic-"+strconv.Itoa(i)).Add(1)
		}
	}
	h, err := Handler(s, func(err error) { b.Error(err) })
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for range b.N {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
