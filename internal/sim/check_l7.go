package sim

import "github.com/varvelog/varve/internal/ident"

// sawHighWatermark: L7. It never goes back.
func (s *run) sawHighWatermark(p *part, o ident.Offset) {
	if o > p.hw {
		p.hw = o
	}
}

// sawBorders: L7 for what the partition says of itself.
func (s *run) sawBorders(p *part, start, hw ident.Offset) {
	if hw < p.hw {
		s.fail("L7", "%s: the high watermark was %d and is %d", p.name, p.hw, hw)
	}
	p.hw = hw
	s.sawStart(p, start)
}

// sawStart: L7. The log start never goes back, and does not move without reason.
func (s *run) sawStart(p *part, o ident.Offset) {
	switch {
	case o < p.start:
		s.fail("L7", "%s: the log start was %d and is %d", p.name, p.start, o)
	case o > p.start:
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
