package config

import (
	"errors"
	"math"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

var brokerSettings = []setting{
	{Property: property.Property{
		Name: "node.id", Type: property.Int, Default: "1", Bounds: property.AtLeast(0), Scope: property.StaticBroker,
		Doc: "The broker's id, unique in the cluster and fixed for the life of its data directory.",
	}, field: func(b *Broker) any { return &b.NodeID }},
	{Property: property.Property{
		Name: "broker.id", Type: property.Int, Unset: true, Bounds: property.AtLeast(0), Scope: property.StaticBroker,
		Doc: "Kafka's older name of `node.id`. If both are set they must agree.",
	}, field: func(b *Broker) any { return &b.brokerID }},
	{Property: property.Property{
		Name: "cluster.id", Type: property.String, Unset: true, Scope: property.StaticBroker, Check: checkClusterID,
		Doc: "The cluster that the data directory must belong to. Unset: the first start makes an id, later starts take the directory's.",
	}, field: func(b *Broker) any { return &b.ClusterID }},
	{Property: property.Property{
		Name: "broker.rack", Type: property.String, Unset: true, Scope: property.StaticBroker,
		Doc: "The zone that the broker stands in. Replicas of a partition are spread over racks.",
	}, field: func(b *Broker) any { return &b.Rack }},
	{Property: property.Property{
		Name: "log.dirs", Type: property.List, Default: "./varve-data", Scope: property.StaticBroker, Check: checkLogDirs,
		Doc: "The data directory: exactly one. It is made if it does not exist.",
	}, field: func(b *Broker) any { return &b.logDirs }},
	{Property: property.Property{
		Name: "log.dir", Type: property.String, Unset: true, Scope: property.StaticBroker, Check: checkLogDir,
		Doc: "Kafka's other name of `log.dirs`. If both are set they must agree.",
	}, field: func(b *Broker) any { return &b.logDirOld }},
	{Property: property.Property{
		Name: "num.partitions", Type: property.Int, Default: "1", Bounds: property.Between(1, 100_000), Scope: property.DynamicBroker,
		Doc: "Partitions of a topic that is created without saying how many.",
	}, field: func(b *Broker) any { return &b.NumPartitions }},
	{Property: property.Property{
		Name: "default.replication.factor", Type: property.Int, Default: "1", Bounds: property.Between(1, 32), Scope: property.DynamicBroker,
		Doc: "Replicas of a topic that is created without saying how many.",
	}, field: func(b *Broker) any { return &b.DefaultReplicationFactor }},
	{Property: property.Property{
		Name: "auto.create.topics.enable", Type: property.Bool, Default: "true", Scope: property.StaticBroker,
		Doc: "Whether a client that asks for a missing topic has it created.",
	}, field: func(b *Broker) any { return &b.AutoCreateTopics }},
	{Property: property.Property{
		Name: "delete.topic.enable", Type: property.Bool, Default: "true", Scope: property.StaticBroker,
		Doc: "Whether topics can be deleted.",
	}, field: func(b *Broker) any { return &b.DeleteTopics }},
}

var networkSettings = []setting{
	{Property: property.Property{
		Name: "listeners", Type: property.String, Default: "PLAINTEXT://127.0.0.1:9092", Scope: property.StaticBroker,
		Doc: "Where Kafka clients connect: `NAME://host:port`, comma-separated. An empty host or 0.0.0.0 listens on every address and needs `advertised.listeners`. Port 0 takes a free one.",
	}, field: func(b *Broker) any { return &b.listeners }},
	{Property: property.Property{
		Name: "advertised.listeners", Type: property.String, Unset: true, Scope: property.StaticBroker,
		Doc: "The addresses that clients are told, by listener name: what they can reach from where they are. Unset: those of `listeners`.",
	}, field: func(b *Broker) any { return &b.advertised }},
	{Property: property.Property{
		Name: "listener.security.protocol.map", Type: property.String, Default: "PLAINTEXT:PLAINTEXT", Scope: property.StaticBroker,
		Doc: "Security protocol of each listener name, `NAME:PROTOCOL`, comma-separated. The only protocol so far is PLAINTEXT.",
	}, field: func(b *Broker) any { return &b.protocolMap }},
	{Property: property.Property{
		Name: "http.listen", Type: property.String, Default: "127.0.0.1:9644", Scope: property.StaticBroker, Check: checkHostPort,
		Doc: "Where health, metrics and the REST API are served, `host:port`. Varve's own.",
	}, field: func(b *Broker) any { return &b.HTTPListen }},
	{Property: property.Property{
		Name: "socket.request.max.bytes", Type: property.Bytes, Default: "104857600", Bounds: property.Between(64<<10, 1<<30), Scope: property.StaticBroker,
		Doc: "Largest request. A connection that sends a larger one is closed.",
	}, field: func(b *Broker) any { return &b.SocketRequestMaxBytes }},
	{Property: property.Property{
		Name: "memory.request.bytes", Type: property.Bytes, Default: "268435456", Bounds: property.Between(1<<20, 1<<40), Scope: property.StaticBroker,
		Doc: "Memory for the requests of all connections together, taken before a request is read. At least `socket.request.max.bytes`. Varve's own.",
	}, field: func(b *Broker) any { return &b.MemoryRequestBytes }},
	{Property: property.Property{
		Name: "memory.response.bytes", Type: property.Bytes, Default: "268435456", Bounds: property.Between(16<<20, 1<<40), Scope: property.StaticBroker,
		Doc: "Memory for the answers of all connections together that clients have not taken yet. A fetch waits for its share and may get less than it asks for; one batch always fits. At least twice `message.max.bytes`. Varve's own.",
	}, field: func(b *Broker) any { return &b.MemoryResponseBytes }},
	{Property: property.Property{
		Name: "max.connections", Type: property.Int, Default: "2147483647", Bounds: property.AtLeast(0), Scope: property.StaticBroker,
		Doc: "Connections that are open at once; further ones are closed as they come.",
	}, field: func(b *Broker) any { return &b.MaxConnections }},
	{Property: property.Property{
		Name: "max.connections.per.ip", Type: property.Int, Default: "2147483647", Bounds: property.AtLeast(0), Scope: property.StaticBroker,
		Doc: "Connections from one address that are open at once.",
	}, field: func(b *Broker) any { return &b.MaxConnectionsPerIP }},
	{Property: property.Property{
		Name: "connections.max.idle.ms", Type: property.Duration, Default: "600000", Bounds: property.AtLeast(1000), Also: []int64{-1}, Scope: property.StaticBroker,
		Doc: "How long a connection without requests stays open. -1: for ever.",
	}, field: func(b *Broker) any { return &b.ConnectionsMaxIdle }},
	{Property: property.Property{
		Name: "fetch.max.bytes", Type: property.Bytes, Default: "57671680", Bounds: property.Between(1024, math.MaxInt32), Scope: property.StaticBroker,
		Doc: "Most bytes that one fetch returns, whatever the consumer asks for. The first batch is returned even if it is larger.",
	}, field: func(b *Broker) any { return &b.FetchMaxBytes }},
	{Property: property.Property{
		Name: "max.incremental.fetch.session.cache.slots", Type: property.Int, Default: "1000", Bounds: property.Between(0, 1_000_000), Scope: property.StaticBroker,
		Doc: "Fetch sessions that are kept; further consumers send all their partitions with every fetch.",
	}, field: func(b *Broker) any { return &b.FetchSessionSlots }},
}

var logSettings = []setting{
	{Property: property.Property{
		Name: "max.decompressed.message.bytes", Type: property.Bytes, Default: "134217728", Bounds: property.Between(1<<20, 1<<30), Scope: property.StaticBroker,
		Doc: "Most bytes that a compressed batch may unpack to. A larger one is refused, so that a small request cannot fill the memory.",
	}, field: func(b *Broker) any { return &b.DecompressedMaxBytes }},
	{Property: property.Property{
		Name: "log.retention.check.interval.ms", Type: property.Duration, Default: "300000", Bounds: millis1, Scope: property.StaticBroker,
		Doc: "How often partitions are looked at for segments that retention no longer keeps.",
	}, field: func(b *Broker) any { return &b.RetentionCheckInterval }},
	{Property: property.Property{
		Name: "producer.id.expiration.ms", Type: property.Duration, Default: "86400000", Bounds: property.Between(1, math.MaxInt32), Scope: property.DynamicBroker,
		Doc: "How long a partition remembers an idempotent producer that is silent. Within it, retries make no duplicates.",
	}, field: func(b *Broker) any { return &b.ProducerIDExpiration }},
	{Property: property.Property{
		Name: "partition.queue.bytes", Type: property.Bytes, Default: "8388608", Bounds: property.Between(1<<20, 1<<30), Scope: property.StaticBroker,
		Doc: "Bytes of produce requests that may wait at one partition; beyond it a request is refused at once and the producer tries again. Varve's own.",
	}, field: func(b *Broker) any { return &b.PartitionQueueBytes }},
}

func checkClusterID(v property.Value) error {
	if text := v.Text(); len(text) > 64 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return errors.New("longer than 64 characters, or not printable ASCII without spaces and slashes")
	}
	return nil
}

func checkLogDirs(v property.Value) error {
	switch n := len(v.List()); {
	case n == 0:
		return &property.Error{Kind: property.ErrRange, Reason: "no directory", Allowed: "exactly one directory", Remedy: "name one, such as ./varve-data"}
	case n > 1:
		return &property.Error{
			Kind: property.ErrRange, Reason: "several directories", Allowed: "exactly one directory",
			Remedy: "name one and join the disks below it (RAID or LVM): all partitions share one write-ahead log",
		}
	}
	return nil
}

func checkLogDir(v property.Value) error {
	switch text := v.Text(); {
	case text == "":
		return errors.New("no directory")
	case strings.Contains(text, ","):
		return errors.New("several directories")
	}
	return nil
}
