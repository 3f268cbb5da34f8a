package sim

import "testing"

// Runs with several nodes are of use for groups only if groups do what is to be
// checked: their members commit, and their coordinators move between nodes.
func TestGroupsOnSeveralNodes(t *testing.T) {
	const seeds = 16
	var runs, committed, moved, generations int
	for seed := uint64(1); runs < seeds; seed++ {
		if p := draw(seed); p.nodes == 1 || drawGroups(seed, p).groups == 0 {
			continue
		}
		runs++
		r := Run(seed, nil) // TestSeeds looks at what it breaks
		if r.Stats.Committers > 1 {
			committed++
		}
		moved += r.Stats.CoordinatorMoves
		generations += r.Stats.Generations
		t.Logf("seed %d, %d nodes: %d commits by %d members, %d rebalances, %d generations, %d moves of coordinators",
			seed, r.Nodes, r.Stats.GroupCommits, r.Stats.Committers, r.Stats.Rebalances, r.Stats.Generations, r.Stats.CoordinatorMoves)
	}
	if committed < seeds/2 || moved < seeds/4 || generations < seeds {
		t.Errorf("of %d runs %d had commits by several members; %d moves of coordinators, %d generations", runs, committed, moved, generations)
	}
}
