package metadata

import (
	"fmt"

	"github.com/varvelog/varve/internal/ident"
)

// commandVersion is the version byte of the encoding of commands.
const commandVersion = 1

// Decode reads exactly one command. What it returns shares no memory with data.
// It fails with ErrVersion, ErrKind, ErrTruncated, ErrTrailing, ErrBound or
// ErrValue. Values that merely make no sense, such as a negative number of
// partitions, are left to Apply, which refuses them.
func Decode(data []byte) (Command, error) {
	if len(data) > MaxCommandBytes {
		return nil, fmt.Errorf("decode command: %w: %d bytes", ErrBound, len(data))
	}
	d := &decoder{buf: data}
	if v := d.u8(); d.err == nil && v != commandVersion {
		return nil, fmt.Errorf("decode command: %w: %d, this broker reads %d", ErrVersion, v, commandVersion)
	}
	kind := Kind(d.u8())
	expect := d.u64()
	if d.err != nil {
		return nil, fmt.Errorf("decode command: %w", d.err)
	}
	cmd := decodeBody(d, kind, expect)
	if cmd == nil {
		return nil, fmt.Errorf("decode command: %w: %d", ErrKind, kind)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode command of kind %d: %w", kind, err)
	}
	return cmd, nil
}

func decodeBody(d *decoder, kind Kind, expect uint64) Command {
	switch kind {
	case KindCreateTopic:
		return decodeCreateTopic(d, expect)
	case KindDeleteTopic:
		return DeleteTopic{ExpectVersion: expect, TopicID: d.id(), Tiered: d.boolean(), TimeMs: int64(d.u64())}
	case KindCreatePartitions:
		return CreatePartitions{ExpectVersion: expect, TopicID: d.id(), Total: int32(d.u32()), Assignments: d.assignments()}
	case KindSetTopicConfigs:
		return SetTopicConfigs{ExpectVersion: expect, TopicID: d.id(), Set: d.configs(), Remove: d.names()}
	case KindSetBrokerConfigs:
		return SetBrokerConfigs{ExpectVersion: expect, Set: d.configs(), Remove: d.names()}
	case KindAllocateProducerIDs:
		return AllocateProducerIDs{ExpectVersion: expect, Count: int32(d.u32()), By: ident.NodeID(d.u32())}
	case KindRegisterBroker:
		return decodeRegisterBroker(d, expect)
	case KindSetFeature:
		return SetFeature{ExpectVersion: expect, Name: d.str("feature name", MaxName), Level: int16(d.u16())}
	case KindPutPlugin:
		return decodePutPlugin(d, expect)
	case KindDeletePlugin:
		return DeletePlugin{ExpectVersion: expect, Name: d.str("plugin name", MaxName), Version: d.str("plugin version", MaxName)}
	case KindPutStage:
		return decodePutStage(d, expect)
	case KindDeleteStage:
		return DeleteStage{ExpectVersion: expect, Name: d.str("stage name", MaxName)}
	case KindSetLimits:
		return SetLimits{ExpectVersion: expect, Limits: d.limits()}
	case KindForgetTopic:
		return ForgetTopic{ExpectVersion: expect, TopicID: d.id()}
	}
	return nil
}

func decodeCreateTopic(d *decoder, expect uint64) Command {
	c := CreateTopic{ExpectVersion: expect}
	c.Name = d.str("topic name", MaxTopicName)
	c.TopicID = d.id()
	c.Partitions = int32(d.u32())
	c.ReplicationFactor = int16(d.u16())
	c.Internal = d.boolean()
	c.TimeMs = int64(d.u64())
	c.Assignments = d.assignments()
	c.Configs = d.configs()
	return c
}

func decodeRegisterBroker(d *decoder, expect uint64) Command {
	c := RegisterBroker{ExpectVersion: expect}
	c.NodeID = ident.NodeID(d.u32())
	copy(c.DirectoryID[:], d.take(len(c.DirectoryID)))
	c.Host = d.str("host", MaxName)
	c.Port = int32(d.u32())
	c.Rack = d.str("rack", MaxName)
	return c
}

func decodePutPlugin(d *decoder, expect uint64) Command {
	c := PutPlugin{ExpectVersion: expect}
	c.Name = d.str("plugin name", MaxName)
	c.Version = d.str("plugin version", MaxName)
	copy(c.Digest[:], d.take(len(c.Digest)))
	c.Size = int64(d.u64())
	c.Spec = d.blob("plugin specification", MaxSpec)
	return c
}

func decodePutStage(d *decoder, expect uint64) Command {
	c := PutStage{ExpectVersion: expect}
	c.Name = d.str("stage name", MaxName)
	c.Plugin = d.str("plugin name", MaxName)
	c.PluginVersion = d.str("plugin version", MaxName)
	c.Spec = d.blob("stage specification", MaxSpec)
	return c
}

func (d *decoder) id() (id ident.TopicID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) limits() Limits {
	return Limits{Topics: int32(d.u32()), PartitionsPerTopic: int32(d.u32()), Partitions: int32(d.u32())}
}

func (d *decoder) assignments() [][]ident.NodeID {
	n := d.count("assignments", MaxPartitions, 4)
	if n == 0 {
		return nil
	}
	list := make([][]ident.NodeID, 0, n)
	for range n {
		nodes := make([]ident.NodeID, 0, d.count("replicas", MaxReplicas, 4))
		for range cap(nodes) {
			nodes = append(nodes, ident.NodeID(d.u32()))
		}
		list = append(list, nodes)
	}
	return list
}

func (e *encoder) limits(l Limits) {
	e.u32(uint32(l.Topics))
	e.u32(uint32(l.PartitionsPerTopic))
	e.u32(uint32(l.Partitions))
}

func (e *encoder) assignments(list [][]ident.NodeID) {
	e.count("assignments", len(list), MaxPartitions)
	for _, nodes := range list {
		e.count("replicas", len(nodes), MaxReplicas)
		for _, n := range nodes {
			e.u32(uint32(n))
		}
	}
}

// appendCommand writes the common header and the body of a command.
func appendCommand(dst []byte, c Command) ([]byte, error) {
	e := encoder{buf: dst}
	e.u8(commandVersion)
	e.u8(uint8(c.Kind()))
	e.u64(c.expect())
	c.encode(&e)
	e.bounded("command bytes", len(e.buf)-len(dst), MaxCommandBytes)
	if e.err != nil {
		return dst, fmt.Errorf("encode command of kind %d: %w", c.Kind(), e.err)
	}
	return e.buf, nil
}
