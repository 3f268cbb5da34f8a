// Package mutant names the bugs that can be planted on purpose, so that the
// simulator can prove that it would find them.
//
// A planted bug is one line in production code, `if mutant.On(mutant.X) {...}`.
// Without the build tag `mutants` On is a constant false and the compiler
// removes the line: a released binary holds none of them. With the tag a test
// switches on one bug at a time.
//
// What the simulator cannot show is found by a test of the package concerned
// (AllDirected), in a process of its own with VARVE_MUTANT set.
//
// The package holds no state but the switch, which only one goroutine (the
// simulator's) may turn.
package mutant
