// Package vfstest is the contract of vfs.FS as tests: every implementation
// passes Run.
//
// # Invariants
//
//  1. The tests use nothing but the interface, so they hold for any
//     implementation, and each one starts from an empty directory.
//
// The tests of concurrent use start goroutines and wait for them. What a crash
// leaves is not tested here: it cannot be seen through the interface.
package vfstest
