package sim

import (
	"fmt"
	"strings"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// checkLeftovers: R2. When all is quiet, a disk holds no directory but those
// of partitions that exist, and no more write-ahead log than it may.
func (s *run) checkLeftovers(sv *server) {
	if why := s.leftover(sv); why != "" {
		s.fail("R2", "%s", why)
	}
}

// leftover tells what is on a disk that should not be there, nothing if all is
// as it should be.
func (s *run) leftover(sv *server) string {
	known := map[string]bool{}
	current := map[string]string{} // the replica's directory
	for t := range sv.broker.node.Image().Topics() {
		for i := range t.Partitions {
			id := ident.Partition{Topic: t.ID, Index: int32(i)}
			if at := sv.broker.partition(id); at != nil {
				current[id.Dir()] = at.Dir()
			}
		}
	}
	for _, p := range s.model.parts() {
		known[p.id.Dir()] = true
	}
	for _, t := range sv.broker.letterTopics() {
		for i := range t.Partitions {
			known[ident.Partition{Topic: t.ID, Index: int32(i)}.Dir()] = true
		}
	}
	if t, ok := sv.broker.node.Image().Topic(coordinator.Topic); ok {
		for i := range t.Partitions {
			known[ident.Partition{Topic: t.ID, Index: int32(i)}.Dir()] = true
		}
	}
	for _, e := range sv.disk.list("partitions") {
		name, _, _ := strings.Cut(e.Name, ".")
		if !known[name] || strings.HasSuffix(e.Name, ".deleted") {
			return fmt.Sprintf("partitions/%s is left of a topic that was deleted", e.Name)
		}
		if now := current[name]; now != "" && now != "partitions/"+e.Name {
			return fmt.Sprintf("partitions/%s is left; its replica is in %s now", e.Name, now)
		}
	}
	var bytes int64
	for _, e := range sv.disk.list("wal") {
		bytes += e.Size
	}
	if bytes > s.plan.walMax+2*s.plan.file {
		return fmt.Sprintf("the write-ahead log takes %d bytes, at most %d are allowed", bytes, s.plan.walMax)
	}
	for _, p := range s.model.parts() {
		for _, e := range sv.files(p) {
			if strings.HasSuffix(e.Name, ".tmp") {
				return fmt.Sprintf("%s of %s is left over", e.Name, p.name)
			}
		}
	}
	return ""
}

// checkWatchers: R2. A long poll that is over, or that was told, is not registered
// any more.
func (s *run) checkWatchers(at *partition.Partition) {
	waiting := 0
	for _, c := range s.consumers {
		if c.wait != nil && c.wait.p == at && !c.wait.told {
			waiting++
		}
	}
	if n := at.Watchers(); n > waiting {
		s.fail("R2", "%v has %d watchers, and %d consumers wait", at.ID(), n, waiting)
	}
}
