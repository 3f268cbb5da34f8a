package plugins

import "math/bits"

// Budget is the fuel that a call may use: Base + PerRecord * records + PerByte *
// bytes of frame, at most MaxCallFuel. One fuel is one instruction of the guest.
type Budget struct {
	Base, PerRecord, PerByte int64
}

// Bounds of a budget.
const (
	// MaxBase, MaxPerRecord and MaxPerByte bound the terms.
	MaxBase      = 1_000_000_000
	MaxPerRecord = 100_000_000
	MaxPerByte   = 1_000_000
	// MaxCallFuel bounds a call, whatever the terms add up to: a few seconds of
	// one core.
	MaxCallFuel = 10_000_000_000
)

// DefaultBudget is for stages that declare none. It is generous, because a
// budget is there to stop what never ends: a full run of small records may use
// about 100 ms.
var DefaultBudget = Budget{Base: 1_000_000, PerRecord: 200_000, PerByte: 500}

// For returns the fuel for a call with a frame of so many records and bytes.
// Negative arguments count as 0.
func (b Budget) For(records int, bytes int) int64 {
	fuel := uint64(max(b.Base, 0))
	for _, term := range [2][2]int64{{b.PerRecord, int64(records)}, {b.PerByte, int64(bytes)}} {
		high, low := bits.Mul64(uint64(max(term[0], 0)), uint64(max(term[1], 0)))
		sum, carry := bits.Add64(fuel, low, 0)
		if high != 0 || carry != 0 || sum > MaxCallFuel {
			return MaxCallFuel
		}
		fuel = sum
	}
	return int64(min(fuel, MaxCallFuel))
}
