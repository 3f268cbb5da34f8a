//go:build race

package crash

// raceFlag builds the broker as this test was built.
var raceFlag = []string{"-race"}
