package plugins

import (
	"fmt"
	"strings"
)

// MaxStages is how many stages a chain may have.
const MaxStages = 64

// ChainSpec is the value of the topic config plugin.chain: the names of the
// stages in order. An empty one is no chain.
type ChainSpec struct {
	Stages []string
}

// ParseChain reads a comma-separated list of stage names. White space around
// names and empty items do not count. Errors wrap ErrSpec.
func ParseChain(list string) (ChainSpec, error) {
	var c ChainSpec
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if err := CheckStageName(name); err != nil {
			return ChainSpec{}, fmt.Errorf("plugin.chain: %w", err)
		}
		if len(c.Stages) == MaxStages {
			return ChainSpec{}, fmt.Errorf("plugin.chain: %w: more than %d stages: put several rules into one plugin", ErrSpec, MaxStages)
		}
		c.Stages = append(c.Stages, name)
	}
	return c, nil
}

// String returns the list as ParseChain reads it.
func (c ChainSpec) String() string { return strings.Join(c.Stages, ",") }
