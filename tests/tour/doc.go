// Package tour runs the tour of the README against a real broker, as somebody
// would who pastes it.
//
// T1: every command of the tour ends with exit code 0, and where the README shows
// what it prints, it prints that.
// T2: the tour runs on a broker with its own ports and directory; nothing of it is
// left when the test ends.
package tour
