package metadata

import (
	"fmt"
	"slices"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

func (c CreateTopic) apply(ch *change) error {
	if err := c.checkNames(ch.next); err != nil {
		return err
	}
	if err := conflict(c, ch.next.topicsRemoved); err != nil {
		return err
	}
	if c.Partitions < 1 {
		return fmt.Errorf("create topic %s: %w: %d", c.Name, ErrInvalidPartitions, c.Partitions)
	}
	brokers := ch.next.brokers.size
	if c.ReplicationFactor < 1 || int(c.ReplicationFactor) > min(brokers, MaxReplicas) {
		return fmt.Errorf("create topic %s: %w: %d with %d brokers", c.Name, ErrInvalidReplicationFactor, c.ReplicationFactor, brokers)
	}
	if ch.next.byName.size >= int(ch.next.limits.Topics) {
		return fmt.Errorf("create topic %s: %w: %d topics", c.Name, ErrLimit, ch.next.byName.size)
	}
	if err := ch.next.roomFor(0, c.Partitions); err != nil {
		return fmt.Errorf("create topic %s: %w", c.Name, err)
	}
	configs, _, err := editConfigs(nil, c.Configs, nil)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", c.Name, err)
	}
	t := &Topic{
		Name: c.Name, ID: c.TopicID, Internal: c.Internal, Configs: configs,
		CreatedAtMs: c.TimeMs, Version: ch.index, chain: parseChain(configs), FirstPartitions: c.Partitions,
	}
	if len(t.chain) > 0 {
		t.ChainGeneration = ch.index
	}
	if t.Partitions, err = ch.place(t.ID, nil, int(c.Partitions), int(c.ReplicationFactor), c.Assignments); err != nil {
		return fmt.Errorf("create topic %s: %w", c.Name, err)
	}
	ch.next.collisions = ch.next.collisions.with(collisionKey(t.Name), t.Name)
	ch.putTopic(t)
	ch.emit(TopicCreated{Topic: t})
	ch.emitPartitions(t, 0)
	return nil
}

// checkNames checks name and topic id against the rules and other topics.
func (c CreateTopic) checkNames(img *Image) error {
	if !validTopicName(c.Name) {
		return fmt.Errorf("create topic: %w: %.260q", ErrInvalidTopicName, c.Name)
	}
	if c.TopicID.IsZero() {
		return fmt.Errorf("create topic %s: %w", c.Name, ErrInvalidTopicID)
	}
	if _, ok := img.byName.get(c.Name); ok {
		return fmt.Errorf("create topic: %w: %s", ErrTopicExists, c.Name)
	}
	if other, ok := img.collisions.get(collisionKey(c.Name)); ok {
		return fmt.Errorf("create topic %s: %w: %s", c.Name, ErrTopicCollision, other)
	}
	if other, ok := img.byID.get(c.TopicID); ok {
		return fmt.Errorf("create topic %s: %w: %v by %s", c.Name, ErrTopicIDInUse, c.TopicID, other.Name)
	}
	if _, ok := img.dropped.get(c.TopicID); ok {
		return fmt.Errorf("create topic %s: %w: %v by a deleted topic", c.Name, ErrTopicIDInUse, c.TopicID)
	}
	return nil
}

// roomFor checks that a topic with have partitions may get to total.
func (i *Image) roomFor(have int, total int32) error {
	if total > i.limits.PartitionsPerTopic {
		return fmt.Errorf("%w: %d partitions, at most %d in a topic", ErrLimit, total, i.limits.PartitionsPerTopic)
	}
	if sum := i.groups.size - have + int(total); sum > int(i.limits.Partitions) {
		return fmt.Errorf("%w: %d partitions, at most %d in the cluster", ErrLimit, sum, i.limits.Partitions)
	}
	return nil
}

// place returns have with n more partitions, whose groups and replicas get new
// ids. Without assignments, partition after partition starts at the next broker
// and takes the ones behind it, which spreads replicas evenly.
func (c *change) place(id ident.TopicID, have []PartitionInfo, n, rf int, assignments [][]ident.NodeID) ([]PartitionInfo, error) {
	if len(assignments) != 0 {
		if err := c.next.checkAssignments(assignments, n, rf); err != nil {
			return nil, err
		}
	}
	brokers := make([]ident.NodeID, 0, c.next.brokers.size)
	for b := range c.next.Brokers() {
		brokers = append(brokers, b.NodeID)
	}
	list := slices.Grow(slices.Clone(have), n)
	for p := range n {
		info := PartitionInfo{Group: c.next.nextGroup, Replicas: make([]Replica, 0, rf)}
		start := int(uint64(info.Group) % uint64(len(brokers)))
		for r := range rf {
			node := brokers[(start+r)%len(brokers)]
			if len(assignments) != 0 {
				node = assignments[p][r]
			}
			info.Replicas = append(info.Replicas, Replica{Node: node, ID: c.next.nextReplica})
			if !mutant.On(mutant.ReusedReplicaID) || r == rf-1 {
				c.next.nextReplica++
			}
		}
		c.next.nextGroup++
		c.next.groups = c.next.groups.with(info.Group, ident.Partition{Topic: id, Index: int32(len(list))})
		list = append(list, info)
	}
	return list, nil
}

func (i *Image) checkAssignments(assignments [][]ident.NodeID, n, rf int) error {
	if len(assignments) != n {
		return fmt.Errorf("%w: %d assignments for %d partitions", ErrInvalidAssignment, len(assignments), n)
	}
	for p, nodes := range assignments {
		if len(nodes) != rf {
			return fmt.Errorf("%w: %d replicas for a replication factor of %d", ErrInvalidAssignment, len(nodes), rf)
		}
		for r, node := range nodes {
			if _, ok := i.brokers.get(node); !ok || slices.Contains(nodes[:r], node) {
				return fmt.Errorf("%w: assignment %d names broker %d, unknown or twice", ErrInvalidAssignment, p, node)
			}
		}
	}
	return nil
}

// putTopic makes t the topic of its name and id, and the command's result.
func (c *change) putTopic(t *Topic) {
	c.next.byName = c.next.byName.with(t.Name, t)
	c.next.byID = c.next.byID.with(t.ID, t)
	c.result.Topic = t
}

func (c *change) emitPartitions(t *Topic, from int) {
	for p := from; p < len(t.Partitions); p++ {
		c.emit(PartitionAdded{
			Partition: ident.Partition{Topic: t.ID, Index: int32(p)},
			Topic:     t.Name,
			Info:      t.Partitions[p],
		})
	}
}

func (c DeleteTopic) apply(ch *change) error {
	t, ok := ch.next.byID.get(c.TopicID)
	if !ok {
		return fmt.Errorf("delete topic: %w: %v", ErrUnknownTopic, c.TopicID)
	}
	if err := conflict(c, t.Version); err != nil {
		return fmt.Errorf("delete topic %s: %w", t.Name, err)
	}
	if c.Tiered {
		if ch.next.dropped.size >= MaxTopics {
			return fmt.Errorf("delete topic %s: %w: %d deleted topics have objects in the cold tier", t.Name, ErrLimit, ch.next.dropped.size)
		}
		ch.next.dropped = ch.next.dropped.with(t.ID, &DroppedTopic{ID: t.ID, Name: t.Name, DeletedAtMs: c.TimeMs})
	}
	ch.next.byName = ch.next.byName.without(t.Name)
	ch.next.byID = ch.next.byID.without(t.ID)
	ch.next.collisions = ch.next.collisions.without(collisionKey(t.Name))
	for _, p := range t.Partitions {
		ch.next.groups = ch.next.groups.without(p.Group)
	}
	if last := t.Partitions[len(t.Partitions)-1]; mutant.On(mutant.ReusedGroupID) && last.Group == ch.next.nextGroup-1 {
		ch.next.nextGroup, ch.next.nextReplica = t.Partitions[0].Group, t.Partitions[0].Replicas[0].ID
	}
	ch.next.topicsRemoved = ch.index
	ch.result.Topic = t
	ch.emit(TopicDeleted{Topic: t})
	return nil
}

func (c ForgetTopic) apply(ch *change) error {
	if _, ok := ch.next.dropped.get(c.TopicID); !ok {
		return fmt.Errorf("forget topic: %w: %v", ErrUnknownTopic, c.TopicID)
	}
	ch.next.dropped = ch.next.dropped.without(c.TopicID)
	ch.emit(TopicForgotten{ID: c.TopicID})
	return nil
}

func (c CreatePartitions) apply(ch *change) error {
	t, ok := ch.next.byID.get(c.TopicID)
	if !ok {
		return fmt.Errorf("create partitions: %w: %v", ErrUnknownTopic, c.TopicID)
	}
	if err := conflict(c, t.Version); err != nil {
		return fmt.Errorf("create partitions of %s: %w", t.Name, err)
	}
	have := len(t.Partitions)
	if int64(c.Total) <= int64(have) {
		return fmt.Errorf("create partitions of %s: %w: %d, has %d", t.Name, ErrInvalidPartitions, c.Total, have)
	}
	if err := ch.next.roomFor(have, c.Total); err != nil {
		return fmt.Errorf("create partitions of %s: %w", t.Name, err)
	}
	rf := len(t.Partitions[0].Replicas)
	list, err := ch.place(t.ID, t.Partitions, int(c.Total)-have, rf, c.Assignments)
	if err != nil {
		return fmt.Errorf("create partitions of %s: %w", t.Name, err)
	}
	next := *t
	next.Partitions, next.Version = list, ch.index
	ch.putTopic(&next)
	ch.emitPartitions(&next, have)
	return nil
}
