package metadata

import (
	"slices"
	"strings"

	"github.com/varvelog/varve/internal/ident"
)

// ChainConfig is the topic setting that holds the topic's chain: the names of
// its stages, separated by commas, with blanks around a name ignored.
const ChainConfig = "plugin.chain"

// Configs is a set of settings, ascending by name without duplicates.
type Configs []KV

func compareKV(a KV, name string) int { return strings.Compare(a.Name, name) }

// Get returns the value of a setting and whether it is set.
func (c Configs) Get(name string) (string, bool) {
	if i, ok := slices.BinarySearchFunc(c, name, compareKV); ok {
		return c[i].Value, true
	}
	return "", false
}

// Replica is one replica of a partition.
type Replica struct {
	Node ident.NodeID
	ID   ident.ReplicaID
}

// PartitionInfo is one partition. Replicas stand in order of preference.
type PartitionInfo struct {
	Group    ident.GroupID
	Replicas []Replica
}

// On returns the partition's replica on a broker.
func (p PartitionInfo) On(n ident.NodeID) (Replica, bool) {
	for _, r := range p.Replicas {
		if r.Node == n {
			return r, true
		}
	}
	return Replica{}, false
}

// Topic is one topic. It is read-only.
type Topic struct {
	Name     string
	ID       ident.TopicID
	Internal bool
	Configs  Configs
	// Partitions holds partition p at index p.
	Partitions []PartitionInfo
	// FirstPartitions is how many partitions the topic was made with.
	FirstPartitions int32
	// ChainGeneration is the index of the command that last changed the setting
	// ChainConfig, a stage that it names, or a plugin that such a stage names;
	// 0 if the topic never had a chain.
	ChainGeneration uint64
	// CreatedAtMs is in milliseconds since 1970.
	CreatedAtMs int64
	// Version is the index of the last command on the topic itself.
	Version uint64

	chain []string // parsed from Configs
}

// Chain returns the names of the topic's stages in order. It is read-only.
func (t *Topic) Chain() []string { return t.chain }

// parseChain returns the stages that the settings name, nil if there are none.
func parseChain(c Configs) []string {
	value, _ := c.Get(ChainConfig)
	var chain []string
	for part := range strings.SplitSeq(value, ",") {
		if name := strings.TrimSpace(part); name != "" {
			chain = append(chain, name)
		}
	}
	return chain
}

// Broker is a registered broker. It is read-only.
type Broker struct {
	NodeID      ident.NodeID
	DirectoryID [16]byte
	Host        string
	Port        int32
	Rack        string
	// Version is the index of the last registration that changed something.
	Version uint64
}

// Feature is a finalized feature. It is read-only.
type Feature struct {
	Name    string
	Level   int16
	Version uint64 // index of the last change
}

// Plugin is one version of a plugin. It is read-only.
type Plugin struct {
	Name, Version string
	Digest        [32]byte
	Size          int64
	Spec          []byte
	ChangedAt     uint64 // index of the last change
}

// Stage is a named use of a plugin. It is read-only.
type Stage struct {
	Name                  string
	Plugin, PluginVersion string
	Spec                  []byte
	Version               uint64 // index of the last change
}

// uses reports whether the stage may run this version of a plugin.
func (s *Stage) uses(name, version string) bool {
	return s.Plugin != "" && s.Plugin == name && (s.PluginVersion == "" || s.PluginVersion == version)
}

// validTopicName follows Kafka's rule.
func validTopicName(name string) bool {
	if name == "" || len(name) > MaxTopicName || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

// collisionKey is equal for names that differ only in "." and "_", which
// Kafka's metric names cannot tell apart.
func collisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

// validStageName reports whether a chain can name the stage.
func validStageName(name string) bool {
	return name != "" && len(name) <= MaxName && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == ','
	})
}

// DroppedTopic is a deleted topic that may still have objects in the cold tier.
type DroppedTopic struct {
	ID          ident.TopicID
	Name        string
	DeletedAtMs int64 // ms since 1970
}
