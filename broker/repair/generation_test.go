package repair

import (
	"encoding/binary"
	"testing"

	"github.com/varvelog/varve/broker/entry"
)

// TestStateKeepsItsChainGeneration: entries behind a checkpoint may be of older
// generations of a chain than the last of them, and are refused by a state that says
// more than it knew.
func TestStateKeepsItsChainGeneration(t *testing.T) {
	p := &partitionPlan{machine: machineState{generation: 3}, generation: 3}
	for _, g := range []uint64{5, 9, 7} {
		header := append(binary.LittleEndian.AppendUint64(nil, g), 0)
		p.generations(entry.Build(entry.Batch, 0, header, batch(t, "value")))
	}
	if p.generation != 9 || p.machine.generation != 3 {
		t.Fatalf("generation %d, in the state %d", p.generation, p.machine.generation)
	}
}
