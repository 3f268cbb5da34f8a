// Package kafka is what the Kafka protocol's requests mean here: one table of
// API keys, one file per key, one table of errors.
//
// A handler is called in the ordered stage of its connection and must not wait;
// what takes time goes on in a callback, on the pools of the Backend, or with a
// waiter. Every request is answered exactly once (R4).
//
// Invariants:
//
//	K1 The table in api.go is the only place that says which keys and versions
//	   exist; dispatch, ApiVersions and docs/reference/api-versions.md follow it.
//	K2 Only errors.go knows Kafka's error codes for domain errors.
//	K3 Nothing is allocated on the word of a length that was not compared with
//	   what is there.
//	K4 While the broker does not serve (N1 of package node) every request but
//	   ApiVersions is answered with a retriable error.
//
// Concurrency: Handlers may be used by any number of connections at once.
// Callbacks of the Backend run on its owner's goroutine and must not block.
package kafka
