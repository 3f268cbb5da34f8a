//go:build mutants

package replog

import (
	"testing"

	"github.com/varvelog/varve/internal/mutant"
)

// Without the checkpoint's index the restart of a group whose hard state lags
// is refused: Raft panics, and Start says so.
func TestMutantCommitFromHardState(t *testing.T) {
	d := quiet(t)
	writeApplied(t, d)
	mutant.Plant(mutant.CommitFromHardState)
	defer mutant.Plant("")
	d.boot(t, d.big())
	d.want[1] = 1
	if err := d.start(1); err == nil {
		t.Fatal("the planted bug was not found")
	}
}

// An acknowledgement before the sync is a lost record for some seed.
func TestMutantReplyBeforeSync(t *testing.T) {
	mutant.Plant(mutant.ReplyBeforeSync)
	defer mutant.Plant("")
	for seed := uint64(1); seed <= 50; seed++ {
		if _, err := run(seed, 2000); err != nil {
			return
		}
	}
	t.Fatal("the planted bug was not found")
}
