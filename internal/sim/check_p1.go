package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
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
func (sv *server) segments(p *part) []ident.Offset {
	var out []ident.Offset
	for _, e := range sv.files(p) {
		if base, ok := baseOf(e.Name); ok {
			out = append(out, base)
		}
	}
	return out
}

// dirOf returns the directory of a partition that the broker has, or nothing: a
// replica that took over another one's state has a new one.
func (sv *server) dirOf(id ident.Partition) string {
	if sv.broker != nil {
		if at := sv.broker.partition(id); at != nil {
			return at.Dir()
		}
	}
	for _, e := range sv.disk.list("partitions") {
		if e.Dir && strings.HasPrefix(e.Name, id.Dir()+".") {
			return "partitions/" + e.Name
		}
	}
	return ""
}

// files lists the files of a partition.
func (sv *server) files(p *part) []vfs.Entry {
	dir := sv.dirOf(p.id)
	if dir == "" {
		return nil
	}
	return sv.disk.list(dir)
}

// noteLayout takes down which segments are on disk: all that is in one was
// committed, so replay has to make it again.
func (sv *server) noteLayout() {
	for _, p := range sv.s.model.parts() {
		if p.cut && (sv.broker == nil || sv.broker.partition(p.id) == nil) {
			continue // files of what a repair gave up go when a broker opens them
		}
		for _, base := range sv.segments(p) {
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
	list := sv.segments(p)
	for _, base := range list {
		have[base] = true
	}
	for base := range p.layout.bases {
		if base > max(p.start, p.tier.local) && !have[base] && base < p.hw {
			s.fail("P1", "%s: a segment began at offset %d, and after a restart none does; there are %d", p.name, base, list)
		}
	}
}

// checkReplicas: P1. All replicas of a partition, whosever it is, hold the same
// segments, byte for byte.
func (s *run) checkReplicas() {
	if why := s.replicasDiffer(); why != "" {
		s.fail("P1", "%s", why)
	}
}

// replicasDiffer tells where two replicas of a partition differ, nothing if none
// do.
func (s *run) replicasDiffer() string {
	for t := range s.servers[0].broker.node.Image().Topics() {
		for i := range t.Partitions {
			if why := s.differ(ident.Partition{Topic: t.ID, Index: int32(i)}); why != "" {
				return fmt.Sprintf("%s-%d: %s", t.Name, i, why)
			}
		}
	}
	return ""
}

func (s *run) differ(id ident.Partition) string {
	var first map[ident.Offset][]byte
	var from *server
	for _, sv := range s.servers {
		if sv.broker.partition(id) == nil {
			continue
		}
		have := sv.contents(id)
		if from == nil {
			first, from = have, sv
			continue
		}
		if len(have) != len(first) {
			return fmt.Sprintf("node %d has the segments %s, node %d %s", from.id, sizes(first), sv.id, sizes(have))
		}
		for _, base := range slices.Sorted(maps.Keys(have)) {
			if b, other := have[base], first[base]; !bytes.Equal(b, other) {
				return fmt.Sprintf("the segment at %d differs: node %d has %d bytes, node %d has %d", base, from.id, len(other), sv.id, len(b))
			}
		}
	}
	return ""
}

// contents returns the segments of a partition as they are on disk.
func (sv *server) contents(id ident.Partition) map[ident.Offset][]byte {
	out := map[ident.Offset][]byte{}
	dir := sv.dirOf(id)
	for _, e := range sv.disk.list(dir) {
		base, ok := baseOf(e.Name)
		if !ok {
			continue
		}
		f, err := sv.disk.mem.Open(dir + "/" + e.Name)
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

// sizes describes segments by base offset and bytes.
func sizes(segments map[ident.Offset][]byte) string {
	out := "["
	for _, base := range slices.Sorted(maps.Keys(segments)) {
		out += fmt.Sprintf(" %d:%d", base, len(segments[base]))
	}
	return out + " ]"
}
