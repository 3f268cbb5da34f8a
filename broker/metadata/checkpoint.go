package metadata

import (
	"hash/crc32"
)

const (
	checkpointMagic   = "VARVMETA"
	checkpointVersion = 1
	// checkpointHead is magic, version, flags and the length of the body.
	checkpointHead = 8 + 2 + 2 + 8
	checkpointTail = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marshal returns a checkpoint of the image and the applied position. Equal
// states give equal bytes. The result belongs to the caller.
func (c *Core) Marshal() []byte {
	img := c.image.Load()
	body := encoder{buf: make([]byte, 0, 4096+128*img.groups.size)}
	encodeImage(&body, img, c.applied, c.term)
	e := encoder{buf: make([]byte, 0, checkpointHead+len(body.buf)+checkpointTail)}
	e.raw([]byte(checkpointMagic))
	e.u16(checkpointVersion)
	e.u16(0)
	e.u64(uint64(len(body.buf)))
	e.raw(body.buf)
	e.u32(crc32.Checksum(e.buf, castagnoli))
	return e.buf
}

// encodeImage writes the body. No bound can be broken here: Apply and Restore
// keep every object within its bounds.
func encodeImage(e *encoder, img *Image, applied, term uint64) {
	e.str("cluster id", img.clusterID, MaxClusterID)
	e.u64(applied)
	e.u64(term)
	e.u64(img.version)
	e.u64(uint64(img.nextGroup))
	e.u64(uint64(img.nextReplica))
	e.u64(uint64(img.nextProducerID))
	e.u64(img.producerIDsVersion)
	e.limits(img.limits)
	e.u64(img.limitsVersion)
	e.u64(img.topicsRemoved)
	e.u64(img.featuresRemoved)
	e.u64(img.pluginsRemoved)
	e.u64(img.stagesRemoved)
	e.u64(img.configsVersion)
	e.configs(img.configs)
	e.count("brokers", img.brokers.size, MaxBrokers)
	for b := range img.Brokers() {
		e.u32(uint32(b.NodeID))
		e.raw(b.DirectoryID[:])
		e.str("host", b.Host, MaxName)
		e.u32(uint32(b.Port))
		e.str("rack", b.Rack, MaxName)
		e.u64(b.Version)
	}
	e.count("features", img.features.size, MaxFeatures)
	for f := range img.Features() {
		e.str("feature name", f.Name, MaxName)
		e.u16(uint16(f.Level))
		e.u64(f.Version)
	}
	e.count("plugins", img.plugins.size, MaxPlugins)
	for p := range img.Plugins() {
		e.str("plugin name", p.Name, MaxName)
		e.str("plugin version", p.Version, MaxName)
		e.raw(p.Digest[:])
		e.u64(uint64(p.Size))
		e.blob("plugin specification", p.Spec, MaxSpec)
		e.u64(p.ChangedAt)
	}
	e.count("stages", img.stages.size, MaxStages)
	for s := range img.Stages() {
		e.str("stage name", s.Name, MaxName)
		e.str("plugin name", s.Plugin, MaxName)
		e.str("plugin version", s.PluginVersion, MaxName)
		e.blob("stage specification", s.Spec, MaxSpec)
		e.u64(s.Version)
	}
	e.count("deleted topics", img.dropped.size, MaxTopics)
	for t := range img.Dropped() {
		e.raw(t.ID[:])
		e.str("topic name", t.Name, MaxTopicName)
		e.u64(uint64(t.DeletedAtMs))
	}
	e.count("topics", img.byName.size, MaxTopics)
	for t := range img.Topics() {
		encodeTopic(e, t)
	}
}

func encodeTopic(e *encoder, t *Topic) {
	e.str("topic name", t.Name, MaxTopicName)
	e.raw(t.ID[:])
	e.boolean(t.Internal)
	e.u64(uint64(t.CreatedAtMs))
	e.u64(t.ChainGeneration)
	e.u64(t.Version)
	e.configs(t.Configs)
	e.u32(uint32(t.FirstPartitions))
	e.count("partitions", len(t.Partitions), MaxPartitions)
	for _, p := range t.Partitions {
		e.u64(uint64(p.Group))
		e.count("replicas", len(p.Replicas), MaxReplicas)
		for _, r := range p.Replicas {
			e.u32(uint32(r.Node))
			e.u64(uint64(r.ID))
		}
	}
}
