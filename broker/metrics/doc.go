// Package metrics declares every metric of the broker, once (D10). What counts
// them is spread over the broker; docs/reference/metrics.md is rendered from
// here.
//
// Invariants:
//
//  1. A metric that is declared here is exported by every running broker once
//     there is something to tell; a test of package broker scrapes one and looks
//     for all of them.
//  2. Names, labels and units never change their meaning: a metric that has to
//     becomes another one.
//
// Concurrency: declarations are not changed after initialization.
//
// It counts nothing.
package metrics
