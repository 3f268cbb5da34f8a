package sim

import "github.com/varvelog/varve/tiering/manifest"

// checkManifest: S4. The segments of a manifest follow each other, each reaches
// above the log start, and with the local log they cover all of the log but for a
// hole before the first batch that the partition ever stored.
func (s *run) checkManifest(p *part, list manifest.List, now tierSeen) {
	for i := range list.Len() {
		seg := list.At(i)
		if i > 0 && seg.Base != list.At(i-1).End {
			s.fail("S4", "%s: the manifest has a gap, or holds twice, between %d and %d", p.name, list.At(i-1).End, seg.Base)
		}
		if seg.End <= now.start {
			s.fail("S4", "%s: the manifest names [%d, %d), which is below the log start %d", p.name, seg.Base, seg.End, now.start)
		}
	}
	if list.Len() > 0 && (p.uploaded == 0 || now.first < p.lowest) {
		p.lowest = now.first
	}
	switch {
	case now.local == now.start:
	case list.Len() == 0:
		s.fail("S1", "%s: the log starts at %d, the local log at %d, and nothing is in the tier", p.name, now.start, now.local)
	case now.first > now.start && now.first != p.lowest || now.end < now.local:
		s.fail("S1", "%s: the log starts at %d, the local log at %d, and the tier holds [%d, %d)", p.name, now.start, now.local, now.first, now.end)
	}
}
