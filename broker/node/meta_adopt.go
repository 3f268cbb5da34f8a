package node

import (
	"fmt"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
)

// The metadata's state names no files: another broker's is taken over as it is,
// and what it says of this broker's replicas is done.

// Snapshot implements replog.Adopter.
func (m *metaMachine) Snapshot() ([]byte, error) { return m.core.Marshal(), nil }

// Adopt implements replog.Adopter.
func (m *metaMachine) Adopt(_ ident.ReplicaID, state []byte) error {
	core, err := metadata.New("")
	if err == nil {
		err = core.Restore(state)
	}
	if err == nil {
		m.adopted = state
	}
	return err
}

// Adopted implements replog.Adopter.
func (m *metaMachine) Adopted() (bool, error) { return m.adopted != nil, nil }

// Abandon implements replog.Adopter.
func (m *metaMachine) Abandon() { m.adopted = nil }

// Switch implements replog.Adopter. Topics are told apart by id, which is never
// used again: one that the new image lacks was deleted in between.
func (m *metaMachine) Switch() (replog.Machine, error) {
	state, before := m.adopted, m.core.Image()
	m.adopted = nil
	if err := m.core.Restore(state); err != nil {
		return nil, fmt.Errorf("restore the cluster metadata: %w", err)
	}
	after := m.core.Image()
	for t := range before.Topics() {
		if _, ok := after.TopicByID(t.ID); !ok {
			m.n.act(metadata.TopicDeleted{Topic: t})
		}
	}
	for t := range after.Topics() {
		old, known := before.TopicByID(t.ID)
		from := 0
		if known {
			from = len(old.Partitions)
		}
		for i := from; i < len(t.Partitions); i++ {
			m.n.act(metadata.PartitionAdded{Partition: ident.Partition{Topic: t.ID, Index: int32(i)}, Topic: t.Name, Info: t.Partitions[i]})
		}
		if known && old.ChainGeneration != t.ChainGeneration {
			m.n.act(metadata.ChainChanged{Topic: t})
		}
	}
	m.sweep(after)
	m.n.Reconfigure()
	return m, nil
}

// sweep ends what belongs to topics that were deleted in between without ever
// having been in the image before: they were made in an earlier life of this
// broker, by entries that were not applied again yet. Ids are counted, so what
// the image has given out and does not name was deleted.
func (m *metaMachine) sweep(image *metadata.Image) {
	for _, g := range m.n.engine.Waiting() {
		if _, ok := image.PartitionOf(g); !ok && g < image.NextGroup() {
			m.n.engine.Destroy(g)
		}
	}
	there, err := listDirectories(m.n.c.Engine.FS)
	if err != nil {
		return // they stay until the broker starts again
	}
	named := m.named(image)
	for _, replica := range there.replicas() {
		if r, ok := replicaOf(replica); !ok || named[replica] || r >= image.NextReplica() {
			continue
		}
		for _, d := range there[replica] {
			if _, doomed := m.doomed[d.path]; !doomed {
				m.doomUnused(d.path)
			}
		}
	}
}
