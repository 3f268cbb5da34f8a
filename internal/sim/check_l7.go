package sim

import (
	"slices"

	"github.com/varvelog/varve/internal/ident"
)

// borders are the highest high watermark and log start that leaders of an
// epoch, or of an older one, told.
type borders struct {
	epoch     ident.Epoch
	hw, start ident.Offset
}

// under returns what a leader of an epoch must know of: what was told under that
// epoch or older ones. A leader that does not know that it was deposed knows
// nothing of what was told since, and clients can tell by its epoch.
func (p *part) under(epoch ident.Epoch) borders {
	for i := len(p.told) - 1; i >= 0; i-- {
		if b := p.told[i]; b.epoch <= epoch {
			return b
		}
	}
	return borders{}
}

// tell notes what was told under an epoch.
func (p *part) tell(epoch ident.Epoch, hw, start ident.Offset) {
	i := len(p.told)
	for i > 0 && p.told[i-1].epoch >= epoch {
		i--
	}
	if i == len(p.told) || p.told[i].epoch != epoch {
		b := p.under(epoch)
		b.epoch = epoch
		p.told = slices.Insert(p.told, i, b)
	}
	for ; i < len(p.told); i++ {
		b := &p.told[i]
		b.hw, b.start = max(b.hw, hw), max(b.start, start)
	}
	p.hw = max(p.hw, hw)
}

// sawHighWatermark: L7. It never goes back.
func (s *run) sawHighWatermark(p *part, epoch ident.Epoch, o ident.Offset) { p.tell(epoch, o, 0) }

// sawBorders: L7 for what the partition says of itself.
func (s *run) sawBorders(p *part, epoch ident.Epoch, start, hw ident.Offset) {
	if was := p.under(epoch).hw; hw < was {
		s.fail("L7", "%s: the high watermark was %d and is %d, in epoch %d", p.name, was, hw, epoch)
	}
	p.tell(epoch, hw, 0)
	s.sawStart(p, epoch, start)
}

// sawStart: L7. The log start never goes back, and does not move without reason.
func (s *run) sawStart(p *part, epoch ident.Epoch, o ident.Offset) {
	if was := p.under(epoch).start; o < was {
		s.fail("L7", "%s: the log start was %d and is %d, in epoch %d", p.name, was, o, epoch)
	}
	p.tell(epoch, 0, o)
	if o > p.start {
		s.mayStartAt(p, p.start, o)
		p.start = o
	}
}

// sawLocalStart: L7 for the local log. Its start never goes back, and never
// passes the tier's end unless the log start does.
func (s *run) sawLocalStart(p *part, was ident.Offset, now tierSeen) {
	if now.local < was {
		s.fail("L7", "%s: the local log started at %d and starts at %d", p.name, was, now.local)
	}
	if now.local > now.start && now.local > now.end {
		s.fail("L7", "%s: the local log starts at %d, and the tier ends at %d", p.name, now.local, now.end)
	}
}
