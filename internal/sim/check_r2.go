package sim

import (
	"strings"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/internal/ident"
)

// checkLeftovers: R2. When all is quiet, a disk holds no directory but those
// of partitions that exist, and no more write-ahead log than it may.
func (s *run) checkLeftovers(sv *server) {
	known := map[string]bool{}
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
			s.fail("R2", "partitions/%s is left of a topic that was deleted", e.Name)
		}
	}
	var bytes int64
	for _, e := range sv.disk.list("wal") {
		bytes += e.Size
	}
	if bytes > s.plan.walMax+2*s.plan.file {
		s.fail("R2", "the write-ahead log takes %d bytes, at most %d are allowed", bytes, s.plan.walMax)
	}
	for _, p := range s.model.parts() {
		for _, e := range sv.disk.files(p) {
			if strings.HasSuffix(e.Name, ".tmp") {
				s.fail("R2", "%s of %s is left over", e.Name, p.name)
			}
		}
	}
}

// checkAnswered: R4. Nothing waits for an answer when all is quiet.
func (s *run) checkAnswered() {
	for _, b := range s.brokers() {
		if n := b.asked; n != 0 {
			s.fail("R4", "%d requests were never answered by broker %d", n, b.server.id)
		}
	}
}
