// Package segfiletest makes segments for tests: record batches as a partition
// stores them, with holes, several codecs and timestamps out of order.
//
// Concurrency: its functions are safe to call from any goroutine; one generator
// of random numbers belongs to one of them at a time.
//
// It is imported by tests only, and knows no broker.
package segfiletest
