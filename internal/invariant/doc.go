// Package invariant states what must hold whatever the input was. A failed
// check is a mistake in this program, never a client's: bad input is an error
// value, and does not come here.
//
// Invariants of the package:
//
//  1. Check and Fail are always compiled in, so that a broken state stops at
//     the place where it is first seen instead of reaching the disk.
//  2. Costly runs only in builds with the tag "invariants"
//     (go test -tags invariants ./...); in other builds it is an empty call.
//  3. Every failure panics with a *Violation, so that the shell around a core
//     can tell it from other panics and park the one group that it concerns.
//  4. A Gauge counts in builds with that tag only, and never below zero.
//
// Concurrency: the package has no state but the gauges, and starts no goroutine;
// every function may be called from anywhere.
//
// It does not log, does not recover and does not end the process.
package invariant
