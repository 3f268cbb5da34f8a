// Package wasmtest makes tiny plugin modules for tests, byte by byte, so that a
// test needs no compiler and can build what no compiler would.
//
// Invariants:
//
//  1. The same calls give the same bytes.
//  2. A module is encoded as it is described, valid or not.
//
// Concurrency: nothing is shared; a Module and a Code belong to their maker.
//
// It is for tests only, and runs nothing.
package wasmtest
