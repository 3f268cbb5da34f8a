package sim

import (
	"reflect"
	"testing"
)

// enoughSeeds is how many seeds must be run before it is looked at whether every
// fault happened.
const enoughSeeds = 200

// least is how often everything that may go wrong, and every path that is seldom
// taken, must at least have happened in 200 seeds: about a third of what happens
// in the first ones. What falls short is not tried any more, whatever the reason.
var least = map[string]int64{
	"PowerLosses": 300, "Kills": 100, "Cuts": 60, "Clean": 10, "SyncErrors": 8, "Flips": 80, "Refusals": 60,
	"TopicsDeleted": 100, "RecordsDeleted": 300, "Letters": 500, "Uploads": 400, "Discards": 60, "ColdReads": 1000,
	"Pauses": 8, "Stalls": 6, "ClockJumps": 6, "FramesLost": 3000, "Waits": 3000, "Repairs": 8,
	"GroupCommits": 500, "Committers": 50, "Rebalances": 200, "Generations": 150, "CoordinatorMoves": 30,
	"TornTails": 8, "LargeWrites": 3000, "CutWrites": 15, "HeaderFlips": 3, "NewestFlips": 5, "FlipsOutlast": 6, "DirSyncErrors": 5, "NoSpace": 100,
	"Expiries": 20, "Zombies": 5, "Fenced": 2, "Grown": 40,
	"Lags": 12, "AdoptionsBegun": 20, "Adoptions": 15, "AdoptionsAbandoned": 1,
	"Finds": 20, "Vanished": 2, "RepairsLost": 8, "LostWithTier": 2, "LostOffsets": 1, "LostLetters": 1, "RepairedHeaders": 4,
	"OneWayCuts": 20, "FramesTwice": 500, "FramesLate": 300,
	"StoreFails": 30, "AnswersLost": 30, "StoreHalf": 30, "StoreLate": 30, "Stale": 10,
}

// checkFaultsHappen fails if something went wrong less often than it should have
// in a run of many seeds.
func checkFaultsHappen(t *testing.T, s Stats) {
	t.Helper()
	v := reflect.ValueOf(s)
	for name, want := range least {
		f := v.FieldByName(name)
		if !f.IsValid() {
			t.Errorf("nothing counts %s", name)
		} else if have := f.Int(); have < want {
			t.Errorf("%s: %d, of which there are at least %d in %d seeds", name, have, want, enoughSeeds)
		}
	}
}

// Everything that must happen is counted, and would be missed.
func TestFaultsHappen(t *testing.T) {
	var s Stats
	v := reflect.ValueOf(&s).Elem()
	for name := range least {
		if f := v.FieldByName(name); !f.IsValid() || least[name] <= 0 {
			t.Errorf("%s cannot fall short", name)
		}
	}
}
