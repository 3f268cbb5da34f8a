// Package metric counts what a program does, and serves it to Prometheus.
//
// A Table declares every metric once: name, kind, help, labels, buckets. A Set
// holds their values. Values come in two ways: Counters and Histograms that the
// hot path holds and adds to, and collectors that are asked at every scrape for
// what is kept elsewhere. Handler serves all of them, and those of the Go runtime
// and the process, as Prometheus text or OpenMetrics; Reference renders the
// table as a page.
//
// Invariants:
//
//  1. Every series belongs to a declared metric, with the declared labels.
//  2. The number of series is bounded. A label has declared values, or a declared
//     maximum of them, or it is open, such as a topic's name: then at most
//     Set.max different tuples of a metric's open labels are told apart, and the
//     rest is summed in series whose open labels are all "other". Metrics with
//     the same open labels share that bound, so one topic is named by all of its
//     metrics or by none. A tuple keeps its place while instruments are held for
//     it, until Forget, or while collectors tell it.
//  3. A Counter never goes back, and neither do the counts of a Histogram.
//  4. Adding to an instrument does not block and allocates nothing.
//
// The data model and the exporter are OpenTelemetry's; the instruments are not.
// OpenTelemetry's synchronous counters and histograms cost 100 to 210 ns an
// operation here, without garbage, which would do; these 2 to 60. What
// decides is that they never forget an attribute set, so topics that were deleted
// long ago would be exported until the process ends and fill the bound for those
// that exist. Its asynchronous instruments forget, but there is no asynchronous
// histogram. So the values are kept here and given to the SDK as a
// metric.Producer, which any other exporter of its can read as well.
//
// Concurrency: everything may be used by any goroutine; declarations are made
// before a Set is. Collectors run on the goroutine of the scrape, one scrape at a
// time.
//
// It does not push, has no exemplars and no exponential histograms, and knows no
// subsystem.
package metric
