// Package host holds the functions that a plugin may import: the log, and the
// subset of WASI that ordinary toolchains link against. It knows no runtime: a
// Function works on the guest's memory and the call's State, and the importing
// package binds it to whatever runs the guest.
//
// Invariants:
//
//  1. What a function answers depends on its arguments, the guest's memory and
//     the call's abi.Context: no clock, no randomness, no file, no environment.
//  2. Pointers and lengths of the guest are checked against the memory before
//     use; a bad one is an error number, never a panic.
//  3. The work of one call is bounded by the bytes it reports with its charge,
//     and the lines logged in one call of a hook are bounded.
//
// Concurrency: a State belongs to one instance, and so to one goroutine at a
// time. Functions keep no state of their own. The package starts no goroutine.
//
// It does not decide which module may import what; see Lookup and Capability.
package host
