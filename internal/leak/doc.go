// Package leak fails the tests of a package that leave something behind:
// goroutines, file descriptors, and what counts in a gauge of package invariant,
// such as buffers of pools and bytes of budgets.
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// Invariants of the package:
//
//  1. A run whose tests fail keeps its own result: what is left is told only
//     when the tests passed, since a failed test may well leave something.
//  2. What is left is given time to go, so that nothing depends on how soon a
//     goroutine that was told to end does.
//  3. What was there before the tests, and what the Go runtime opens for itself,
//     is not counted.
//  4. Runs that fuzz are not judged: testing's own processes, pipes and
//     goroutines come and go in them.
//
// Concurrency: Main runs on the goroutine of TestMain and starts none.
//
// Descriptors are seen on Linux only, gauges only in builds with the tag
// "invariants". The package is for tests; nothing else imports it.
package leak
