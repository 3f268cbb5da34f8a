package metric

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// scrapesMax bounds the scrapes that run at one time; more are answered 503.
const scrapesMax = 4

// Handler serves the set, the Go runtime's metrics and the process's, as
// Prometheus text or, if the client asks for it, OpenMetrics. report is told of
// metrics that could not be exported; the others are served.
func Handler(s *Set, report func(error)) (http.Handler, error) {
	r := prometheus.NewRegistry()
	e, err := otelprom.New(otelprom.WithRegisterer(r), otelprom.WithProducer(producer{s}),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithoutSuffixes),
		otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("make the Prometheus exporter: %w", err)
	}
	// The reader serves nothing before a provider has taken it.
	sdkmetric.NewMeterProvider(sdkmetric.WithReader(e), sdkmetric.WithResource(resource.Empty()))
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the runtime's metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog(report),
		MaxRequestsInFlight: scrapesMax, EnableOpenMetrics: true,
	}), nil
}

// errorLog passes on what promhttp has to say.
type errorLog func(error)

func (f errorLog) Println(v ...any) {
	for _, x := range v {
		if err, ok := x.(error); ok {
			f(err)
			return
		}
	}
	f(errors.New(fmt.Sprint(v...)))
}
