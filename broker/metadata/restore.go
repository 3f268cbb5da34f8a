package metadata

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// Restore replaces image and applied position by those of a checkpoint. It
// accepts only what Marshal can have written: besides the checksum it checks
// that every object is valid, that ids are unique and below their counters, and
// that no index lies in the future. On error, which wraps ErrCheckpoint, the
// core is as it was. It keeps no reference to data.
func (c *Core) Restore(data []byte) error {
	body, err := checkpointBody(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	r := &restorer{decoder: decoder{buf: body}, replicas: newTree[ident.ReplicaID, struct{}](cmp.Compare)}
	r.header()
	r.objects()
	r.dropped()
	for range r.count("topics", MaxTopics, minTopicBytes) {
		r.topic()
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if id := c.image.Load().clusterID; id != "" && id != r.img.clusterID {
		return fmt.Errorf("%w: %w: %q, this is %q", ErrCheckpoint, ErrClusterID, r.img.clusterID, id)
	}
	c.applied, c.term = r.applied, r.term
	c.image.Store(r.img)
	return nil
}

// checkpointBody checks everything around the body and returns it.
func checkpointBody(data []byte) ([]byte, error) {
	if len(data) < checkpointHead+checkpointTail {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(data))
	}
	if string(data[:8]) != checkpointMagic {
		return nil, ErrMagic
	}
	if v := binary.LittleEndian.Uint16(data[8:]); v != checkpointVersion {
		return nil, fmt.Errorf("%w: %d, this broker reads %d", ErrVersion, v, checkpointVersion)
	}
	end := len(data) - checkpointTail
	if crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return nil, ErrChecksum
	}
	if flags := binary.LittleEndian.Uint16(data[10:]); flags != 0 {
		return nil, fmt.Errorf("%w: flags %#x", ErrValue, flags)
	}
	if n := binary.LittleEndian.Uint64(data[12:]); n != uint64(end-checkpointHead) {
		return nil, fmt.Errorf("%w: body of %d bytes, %d there", ErrTruncated, n, end-checkpointHead)
	}
	return data[checkpointHead:end], nil
}

// maxCounter bounds the counters of group and replica ids in a checkpoint, so
// that counting on from there cannot wrap.
const maxCounter = 1 << 62

// The least bytes that an element takes, so that a count can be checked against
// the rest.
const (
	minBrokerBytes    = 4 + 16 + 2 + 4 + 2 + 8
	minFeatureBytes   = 2 + 2 + 8
	minPluginBytes    = 2 + 2 + 32 + 8 + 4 + 8
	minStageBytes     = 2 + 2 + 2 + 4 + 8
	minDroppedBytes   = 16 + 2 + 8
	minTopicBytes     = 2 + 16 + 1 + 8 + 8 + 8 + 4 + 4 + 4
	minPartitionBytes = 8 + 4
	replicaBytes      = 4 + 8
)

// restorer builds an image from a checkpoint's body.
type restorer struct {
	decoder
	img           *Image
	applied, term uint64
	replicas      tree[ident.ReplicaID, struct{}]
}

// require fails the restore unless ok.
func (r *restorer) require(ok bool, format string, args ...any) {
	if !ok && r.err == nil {
		r.fail(fmt.Errorf("%w: %s", ErrValue, fmt.Sprintf(format, args...)))
	}
}

// past reads the index of a command that changed the image.
func (r *restorer) past(what string) uint64 {
	v := r.u64()
	r.require(v <= r.img.version, "%s %d above image version %d", what, v, r.img.version)
	return v
}

func (r *restorer) header() {
	r.img = newImage(r.str("cluster id", MaxClusterID))
	r.applied = r.u64()
	r.term = r.u64()
	r.img.version = r.u64()
	r.require(r.img.version <= r.applied, "image version %d above applied index %d", r.img.version, r.applied)
	r.img.nextGroup = ident.GroupID(r.u64())
	r.img.nextReplica = ident.ReplicaID(r.u64())
	r.img.nextProducerID = int64(r.u64())
	r.require(r.img.nextGroup >= FirstGroupID && r.img.nextReplica >= FirstReplicaID && r.img.nextProducerID >= 0 &&
		r.img.nextGroup < maxCounter && r.img.nextReplica < maxCounter, "a counter of ids is out of range")
	r.img.producerIDsVersion = r.past("producer ids version")
	r.img.limits = r.limits()
	if err := r.img.limits.Check(); r.err == nil && err != nil {
		r.fail(err)
	}
	r.img.limitsVersion = r.past("limits version")
	r.img.topicsRemoved = r.past("topic removal")
	r.img.featuresRemoved = r.past("feature removal")
	r.img.pluginsRemoved = r.past("plugin removal")
	r.img.stagesRemoved = r.past("stage removal")
	r.img.configsVersion = r.past("settings version")
	r.img.configs = r.sortedConfigs()
}

// sortedConfigs reads settings that must ascend strictly by name.
func (r *restorer) sortedConfigs() Configs {
	list := Configs(r.configs())
	for i, kv := range list {
		r.require(kv.Name != "" && (i == 0 || list[i-1].Name < kv.Name), "setting %q out of order", kv.Name)
	}
	if err := list.check(); r.err == nil && err != nil {
		r.fail(err)
	}
	return list
}

func (r *restorer) objects() {
	lastBroker := int64(-1)
	for range r.count("brokers", MaxBrokers, minBrokerBytes) {
		b := &Broker{NodeID: ident.NodeID(r.u32())}
		copy(b.DirectoryID[:], r.take(len(b.DirectoryID)))
		b.Host = r.str("host", MaxName)
		b.Port = int32(r.u32())
		b.Rack = r.str("rack", MaxName)
		b.Version = r.past("broker version")
		r.require(int64(b.NodeID) > lastBroker && b.Host != "" && b.Port > 0 && b.Port <= math.MaxUint16 &&
			b.DirectoryID != [16]byte{}, "broker %d", b.NodeID)
		lastBroker = int64(b.NodeID)
		r.img.brokers = r.img.brokers.with(b.NodeID, b)
	}
	lastFeature := ""
	for range r.count("features", MaxFeatures, minFeatureBytes) {
		f := &Feature{Name: r.str("feature name", MaxName), Level: int16(r.u16())}
		f.Version = r.past("feature version")
		r.require(f.Name > lastFeature && f.Level > 0, "feature %q", f.Name)
		lastFeature = f.Name
		r.img.features = r.img.features.with(f.Name, f)
	}
	var lastPlugin pluginKey
	for range r.count("plugins", MaxPlugins, minPluginBytes) {
		p := &Plugin{Name: r.str("plugin name", MaxName), Version: r.str("plugin version", MaxName)}
		copy(p.Digest[:], r.take(len(p.Digest)))
		p.Size = int64(r.u64())
		p.Spec = r.blob("plugin specification", MaxSpec)
		p.ChangedAt = r.past("plugin version")
		key := pluginKey{p.Name, p.Version}
		r.require(comparePluginKeys(key, lastPlugin) > 0 && p.Name != "" && p.Version != "" && p.Size > 0 &&
			p.Digest != [32]byte{}, "plugin %q version %q", p.Name, p.Version)
		lastPlugin = key
		r.img.plugins = r.img.plugins.with(key, p)
	}
	lastStage := ""
	for range r.count("stages", MaxStages, minStageBytes) {
		s := &Stage{Name: r.str("stage name", MaxName)}
		s.Plugin = r.str("plugin name", MaxName)
		s.PluginVersion = r.str("plugin version", MaxName)
		s.Spec = r.blob("stage specification", MaxSpec)
		s.Version = r.past("stage version")
		r.require(s.Name > lastStage && validStageName(s.Name) && (s.Plugin != "" || s.PluginVersion == ""), "stage %q", s.Name)
		lastStage = s.Name
		r.img.stages = r.img.stages.with(s.Name, s)
	}
}

func (r *restorer) dropped() {
	for range r.count("deleted topics", MaxTopics, minDroppedBytes) {
		t := &DroppedTopic{ID: r.id()}
		t.Name = r.str("topic name", MaxTopicName)
		t.DeletedAtMs = int64(r.u64())
		last := r.img.dropped.last()
		r.require(!t.ID.IsZero() && validTopicName(t.Name) && (last == nil || compareTopicIDs(last.key, t.ID) < 0), "deleted topic %q id %v", t.Name, t.ID)
		r.img.dropped = r.img.dropped.with(t.ID, t)
	}
}

func (r *restorer) topic() {
	if r.err != nil {
		return
	}
	t := &Topic{Name: r.str("topic name", MaxTopicName), ID: r.id()}
	t.Internal = r.boolean()
	t.CreatedAtMs = int64(r.u64())
	t.ChainGeneration = r.past("chain generation")
	t.Version = r.past("topic version")
	t.Configs = r.sortedConfigs()
	t.chain = parseChain(t.Configs)
	r.require(validTopicName(t.Name) && !t.ID.IsZero(), "topic %q id %v", t.Name, t.ID)
	r.require(len(t.chain) == 0 || t.ChainGeneration > 0, "topic %q has a chain of generation 0", t.Name)
	// Greater than the last name is greater than all of them.
	r.require(r.img.byName.last() == nil || r.img.byName.last().key < t.Name, "topic %q out of order", t.Name)
	_, collides := r.img.collisions.get(collisionKey(t.Name))
	_, known := r.img.byID.get(t.ID)
	_, dead := r.img.dropped.get(t.ID)
	r.require(!collides && !known && !dead, "topic %q id %v is there twice", t.Name, t.ID)
	t.FirstPartitions = int32(r.u32())
	n := r.count("partitions", MaxPartitions, minPartitionBytes)
	r.require(t.FirstPartitions > 0 && int(t.FirstPartitions) <= n, "topic %q of %d partitions was made with %d", t.Name, n, t.FirstPartitions)
	r.require(n > 0, "topic %q without partitions", t.Name)
	t.Partitions = make([]PartitionInfo, 0, n)
	for range n {
		t.Partitions = append(t.Partitions, r.partition(ident.Partition{Topic: t.ID, Index: int32(len(t.Partitions))}))
	}
	r.img.byName = r.img.byName.with(t.Name, t)
	r.img.byID = r.img.byID.with(t.ID, t)
	r.img.collisions = r.img.collisions.with(collisionKey(t.Name), t.Name)
}

func (r *restorer) partition(id ident.Partition) PartitionInfo {
	p := PartitionInfo{Group: ident.GroupID(r.u64())}
	_, known := r.img.groups.get(p.Group)
	r.require(!known && p.Group >= FirstGroupID && p.Group < r.img.nextGroup, "group %d of %v", p.Group, id)
	n := r.count("replicas", MaxReplicas, replicaBytes)
	r.require(n > 0, "%v without replicas", id)
	p.Replicas = make([]Replica, 0, n)
	for range n {
		rep := Replica{Node: ident.NodeID(r.u32()), ID: ident.ReplicaID(r.u64())}
		_, registered := r.img.brokers.get(rep.Node)
		_, given := r.replicas.get(rep.ID)
		given = given && !mutant.On(mutant.ReusedReplicaID)
		_, twice := p.On(rep.Node)
		r.require(registered && !given && !twice && rep.ID >= FirstReplicaID && rep.ID < r.img.nextReplica,
			"replica %d of %v on broker %d", rep.ID, id, rep.Node)
		r.replicas = r.replicas.with(rep.ID, struct{}{})
		p.Replicas = append(p.Replicas, rep)
	}
	r.img.groups = r.img.groups.with(p.Group, id)
	return p
}
