package kafka

import (
	"context"
	"time"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// Backend is what the API needs of the broker. All methods may be called from
// any goroutine and none blocks; done callbacks run on the goroutine that owns
// the broker's state and must not block either.
type Backend interface {
	// Ready reports whether clients may be served.
	Ready() bool
	// Image returns the cluster metadata as this broker knows it.
	Image() *metadata.Image
	// NodeID returns this broker's id.
	NodeID() ident.NodeID
	// Advertised returns where clients that came in through a listener are to
	// connect.
	Advertised(listener string) (host string, port int32)
	// Config returns the broker's settings.
	Config() *config.Broker
	// Topic returns a topic's effective configuration, cached by its version.
	Topic(*metadata.Topic) *config.Topic
	// Replica returns this broker's replica of a partition, or nil.
	Replica(ident.Partition) *node.Replica

	// Produce hands batches to their partitions' sequencers, in order. Each
	// outcome comes through its Append's Done.
	Produce([]Batch)
	// DeleteRecords asks a partition for a higher log start.
	DeleteRecords(*partition.Partition, *partition.StartRequest)
	// Command proposes a change of the cluster metadata.
	Command(metadata.Command, func(metadata.Result))
	// ProducerID takes the next producer id.
	ProducerID(done func(id int64, err error))
	// Groups returns the coordinator of consumer groups.
	Groups() *coordinator.Coordinator

	// Run performs work that may wait for the disk, on a bounded pool.
	Run(func())
	// RunCold performs work that waits for the cold tier, on a bounded pool of
	// its own. It reports false, and does nothing, if too much waits already.
	RunCold(func(context.Context)) bool
	// RunLookup is RunCold for work that may take long.
	RunLookup(func(context.Context)) bool
	// Cold reads the cold tier.
	Cold() ColdLog
	// After calls f once, about when d has passed, on any goroutine, unless
	// stop is called before. It costs no timer and no goroutine of its own.
	After(d time.Duration, f func()) (stop func())
	// Now is the broker's clock.
	Now() time.Time
}

// Batch is one batch for one partition's sequencer.
type Batch struct {
	Partition *partition.Partition
	// Append is the batch to be appended; nil if it was refused before, and
	// then the sequencer is only told of Refused (P3 of package partition).
	Append  *partition.Append
	Refused record.Header
}
