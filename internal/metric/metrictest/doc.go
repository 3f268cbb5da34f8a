// Package metrictest reads what a scrape answers, for tests.
//
// Invariants:
//
//  1. What Prometheus' own parser refuses is an error.
//
// Concurrency: none of its own.
//
// It does not judge values.
package metrictest
