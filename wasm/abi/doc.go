// Package abi is the contract between the broker and a plugin, version 1: the
// frame of records that the broker writes, the verdicts that it reads back, the
// manifest, and the names of what a module exports and imports. SPEC.md is the
// contract's text; golden/ holds byte vectors that every SDK reproduces.
//
// Invariants:
//
//  1. A frame holds the declared parts of its records and no byte of the others.
//  2. Decoding never panics, never reads outside its input and allocates in
//     proportion to the input's length, whatever the counts in it claim.
//  3. What decodes as verdicts encodes to the same bytes again, but for reject
//     messages longer than MaxMessageBytes.
//  4. Null and empty are different, in both directions.
//
// Concurrency: functions may be called from anywhere; a Frame has one owner at
// a time. The package starts no goroutine and does no I/O.
//
// It does not run modules, and does not decide what follows from a verdict.
package abi
