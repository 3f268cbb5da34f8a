package partition

import (
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
)

// Place is where the records from an offset on are to be read.
type Place struct {
	// Local: from the local log. Else the objects of List hold them, from At on,
	// which lies above the offset if that is in the hole before the first of them,
	// up to End.
	Local   bool
	List    manifest.List
	At, End ident.Offset
}

// Locate says where the records from an offset on are now. Objects that a Place
// names can be read for as long as the grace, whatever becomes of the partition. It
// fails with ErrOffsetOutOfRange below the log start, with ErrTierUnavailable where
// neither disk nor manifest has them, which is no emptiness (S4), and as Offsets
// does. Any goroutine may call it.
func (p *Partition) Locate(at ident.Offset) (Place, error) {
	for {
		list := p.Tiered()
		end, ok := list.End()
		o, err := p.Offsets()
		switch {
		case err != nil:
			return Place{}, err
		case at < o.LogStart && !mutant.On(mutant.ColdBelowStart):
			return Place{}, ErrOffsetOutOfRange
		case at >= o.LocalStart:
			return Place{Local: true, At: at}, nil
		case ok && at < end:
			return Place{List: list, At: max(at, list.Start()), End: end}, nil
		}
		if now, some := p.Tiered().End(); !some || at >= now {
			return Place{}, ErrTierUnavailable
		}
		// The tier grew after list was taken.
	}
}
