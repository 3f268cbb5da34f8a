package sim

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// layout is which segments a partition was ever seen to have.
type layout struct {
	bases map[ident.Offset]bool
}

// baseOf returns the base offset that a segment file is named by.
func baseOf(file string) (base ident.Offset, ok bool) {
	name, ok := strings.CutSuffix(file, ".log")
	for _, c := range name {
		base = base*10 + ident.Offset(c-'0')
	}
	return base, ok
}

// segments lists the bases of a partition's segment files, ascending.
func (d *disk) segments(p *part) []ident.Offset {
	var out []ident.Offset
	for _, e := range d.files(p) {
		if base, ok := baseOf(e.Name); ok {
			out = append(out, base)
		}
	}
	return out
}

// dirOf returns a partition's directory, or nothing.
func (d *disk) dirOf(p *part) string {
	for _, e := range d.list("partitions") {
		if e.Dir && strings.HasPrefix(e.Name, p.id.Dir()+".") {
			return "partitions/" + e.Name
		}
	}
	return ""
}

// files lists the files of a partition.
func (d *disk) files(p *part) []vfs.Entry {
	dir := d.dirOf(p)
	if dir == "" {
		return nil
	}
	return d.list(dir)
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
	if sv.broker.partition(p.id) == nil {
		return // no replica here
	}
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

// checkReplicas: P1. All replicas of a partition hold the same segments, byte for
// byte. The ones that are behind may take a while.
func (s *run) checkReplicas(p *part) {
	if s.alone() {
		return
	}
	differ := ""
	same := s.until(recovery, func() bool {
		differ = s.replicasDiffer(p)
		return differ == ""
	})
	if !same {
		s.fail("P1", "%s: %s", p.name, differ)
	}
}

// replicasDiffer tells where two replicas of a partition differ, nothing if they
// do not.
func (s *run) replicasDiffer(p *part) string {
	first := map[ident.Offset][]byte{}
	var from *server
	for _, sv := range s.servers {
		if sv.broker.partition(p.id) == nil {
			continue
		}
		have := sv.disk.contents(p)
		if from == nil {
			first, from = have, sv
			continue
		}
		if len(have) != len(first) {
			return fmt.Sprintf("node %d has %d segments, node %d has %d", from.id, len(first), sv.id, len(have))
		}
		for base, b := range have { // order: the first difference is as good as any
			if other, ok := first[base]; !ok || !bytes.Equal(b, other) {
				return fmt.Sprintf("the segment at %d differs: node %d has %d bytes, node %d has %d", base, from.id, len(other), sv.id, len(b))
			}
		}
	}
	return ""
}

// contents returns the segments of a partition as they are on disk.
func (d *disk) contents(p *part) map[ident.Offset][]byte {
	out := map[ident.Offset][]byte{}
	dir := d.dirOf(p)
	for _, e := range d.list(dir) {
		base, ok := baseOf(e.Name)
		if !ok {
			continue
		}
		f, err := d.mem.Open(dir + "/" + e.Name)
		if err != nil {
			continue
		}
		b := make([]byte, e.Size)
		n, _ := f.ReadAt(b, 0)
		_ = f.Close()
		out[base] = b[:n]
	}
	return out
}
