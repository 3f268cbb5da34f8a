// Package registry holds the modules and the pools of instances that chains run
// on: modules by digest, pools by digest, parameters and limits, both shared by
// all topics.
//
// Invariants:
//
//	1 A module is compiled once, and a pool made once, however many chains ask
//	  for it at the same time.
//	2 A pool is closed only when no live chain names it (Prune). A batch that
//	  still runs in a closed pool is told that the pool was stopped, which is
//	  retriable.
//
// Concurrency: every method may be called from any goroutine. Compiling takes
// seconds and blocks the caller, and others that ask for the same module.
//
// It does not know where modules are kept (Blobs), and decides no policy.
package registry
