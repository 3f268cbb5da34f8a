// Package lint checks the repository's own rules as Go tests, with the standard
// library and the go command alone: which package may import which, what the
// deterministic cores may not do, how long files and functions get, that every
// package says what it is for, that attributes of log messages have one name each,
// that tests judge what they leave behind, that no machine's paths are checked in
// and that links between pages resolve. The rules' data is in table.go.
//
// Invariants:
//
//  1. A rule is a function from parsed files to findings, so the same code
//     judges the tree and the small sources of its own test: every rule is
//     shown to fail.
//  2. A rule that cannot decide reports a finding; it never passes in silence.
//  3. An exemption is a row of table.go, and a row that no longer applies is a
//     finding too.
//
// Concurrency: everything runs in the goroutine of the test that calls it.
//
// It does not repair anything, and it does not know what any package means.
package lint
