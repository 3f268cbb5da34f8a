package wasm

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
)

// Result is what a call came to.
type Result struct {
	// Out is the verdicts as the plugin wrote them, unchecked, in the caller's
	// dst, or in a larger slice if that was too small. Empty after a trap.
	Out []byte
	// Fault says why Out is not what the plugin answered, where its answer lies
	// outside of its memory; Out is empty then.
	Fault string
	// FuelUsed is the fuel that the call consumed. It may exceed the budget by
	// what one region and one host function cost.
	FuelUsed int64
	// LogDropped counts lines that the plugin logged beyond the limit.
	LogDropped int
	// Waited is how long the call waited for an instance, Elapsed how long it ran
	// in it. They are for metrics only.
	Waited, Elapsed time.Duration
	// Trap is nil if the hook returned.
	Trap *Trap
}

// Trap says that a hook did not return.
type Trap struct {
	Why Why
	// Cursor is the record that the plugin was handling, from 0 in the frame;
	// always below the frame's count, but for an empty frame.
	Cursor int
	// Out is the verdicts of the records before it, unchecked, in the caller's
	// dst like Result.Out.
	Out []byte
	// Text says what happened, for people.
	Text string
}

// Why is the kind of a trap.
type Why uint8

// The kinds of traps.
const (
	// WhyTrapped is the plugin's own fault: unreachable, a bad address, a
	// division by zero.
	WhyTrapped Why = iota
	// WhyFuel means that the budget was used up.
	WhyFuel
	// WhyStopped means that the pool was stopped: the call says nothing about
	// the records.
	WhyStopped
	// WhyDepth means that calls were nested too deep.
	WhyDepth
	// WhyMemory means that the plugin trapped or exited with all of its memory
	// in use.
	WhyMemory
	// WhyTooLarge means that the frame does not fit into the plugin's memory, or
	// its answer is larger than PoolConfig.OutBytesMax.
	WhyTooLarge
	// WhyExit means that the plugin called proc_exit.
	WhyExit
	whyCount
)

var whyNames = [whyCount]string{"trapped", "fuel", "stopped", "depth", "memory", "too-large", "exit"}

// String returns the name of the kind, as metrics label it.
func (w Why) String() string {
	if w >= whyCount {
		return "unknown"
	}
	return whyNames[w]
}

// Code returns the code that a record fails with for this kind of trap. A
// stopped call fails no record: it is run again elsewhere.
func (w Why) Code() abi.Code {
	switch w {
	case WhyFuel:
		return abi.CodeOutOfFuel
	case WhyMemory:
		return abi.CodeOutOfMemory
	case WhyTooLarge:
		return abi.CodeTooLarge
	}
	return abi.CodeTrapped
}

// ConfigureError says that the plugin refused its parameters.
type ConfigureError struct {
	Plugin string
	Code   int32
}

// Error implements error.
func (e *ConfigureError) Error() string {
	return fmt.Sprintf("plugin %s refused its parameters with code %d", e.Plugin, e.Code)
}

const maxTextBytes = 256

// trapText returns the cause in err without the stack of guest functions.
func trapText(err error) string {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimSuffix(strings.TrimPrefix(text, "wasm error: "), " (recovered by wazero)")
	return text[:min(len(text), maxTextBytes)]
}
