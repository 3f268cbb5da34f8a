package sim

import (
	"strings"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// layout is which segments a partition was ever seen to have.
type layout struct {
	bases map[ident.Offset]bool
}

// segments lists the bases of a partition's segment files, ascending.
func (d *disk) segments(p *part) []ident.Offset {
	var out []ident.Offset
	for _, e := range d.files(p) {
		name, ok := strings.CutSuffix(e.Name, ".log")
		if !ok {
			continue
		}
		var base ident.Offset
		for _, c := range name {
			base = base*10 + ident.Offset(c-'0')
		}
		out = append(out, base)
	}
	return out
}

// files lists the files of a partition.
func (d *disk) files(p *part) []vfs.Entry {
	for _, e := range d.list("partitions") {
		if e.Dir && strings.HasPrefix(e.Name, p.id.Dir()+".") {
			return d.list("partitions/" + e.Name)
		}
	}
	return nil
}

// noteLayout takes down which segments are on disk: all that is in one was
// committed, so replay has to make it again.
func (sv *server) noteLayout() {
	for _, p := range sv.s.model.parts() {
		for _, base := range sv.disk.segments(p) {
			p.layout.bases[base] = true
		}
	}
}

// checkLayout: P1. When everything is written, the segments above the local
// start are there that were ever there.
func (s *run) checkLayout(p *part, sv *server) {
	have := map[ident.Offset]bool{}
	list := sv.disk.segments(p)
	for _, base := range list {
		have[base] = true
	}
	for base := range p.layout.bases {
		if base > max(p.start, p.tier.local) && !have[base] && base < p.hw {
			s.fail("P1", "%s: a segment began at offset %d, and after a restart none does; there are %d", p.name, base, list)
		}
	}
}
