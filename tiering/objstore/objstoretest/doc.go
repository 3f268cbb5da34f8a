// Package objstoretest is the contract of objstore.Store as tests: every
// implementation passes Run.
//
// Invariants:
//
//  1. The tests use nothing but the interface, so they hold for any store, and
//     each one starts from an empty one.
//  2. No clock decides an outcome.
//
// The tests of concurrent use start goroutines and wait for them. What a crash
// leaves, and what a store does when its network fails, is not tested here: it
// cannot be seen through the interface.
package objstoretest
