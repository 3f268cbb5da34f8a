package pipeline

import (
	"errors"
	"time"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// ErrStopped says that a stage's plugin was stopped while the batch ran: it may
// be run again.
var ErrStopped = errors.New("plugin stopped")

var _ Guest = (*wasm.Pool)(nil)

// Guest calls a plugin. A *wasm.Pool is one.
type Guest interface {
	// Call runs the hook over one frame with a budget of fuel. The frame is
	// borrowed until it returns; what the plugin answered is in dst[:0], or in a
	// larger slice, and belongs to the caller. A plugin that misbehaves is a
	// Result; an error means that it could not be run. It may block until an
	// instance is free.
	Call(hook abi.Hook, c abi.Context, frame []byte, fuel int64, dst []byte) (wasm.Result, error)
}

// Stage is a stage that is ready to run.
type Stage struct {
	Name       string
	Hook       abi.Hook
	Guest      Guest
	Parts      abi.Parts // what the plugin's manifest declares
	Tombstones bool      // as well
	Spec       plugins.StageSpec
}

// skips says whether a record with a null value is kept from the plugin.
func (s *Stage) skips(r *abi.Record) bool {
	return r.Value == nil && s.Parts == abi.PartValue && !s.Tombstones
}

// Options are what a topic demands of the batches that are stored.
type Options struct {
	// Limits are those of record.Validate that concern the output:
	// MaxBatchBytes, MaxDecompressedBytes, RequireKey, CheckTimestamps and the
	// timestamp window around the append time. The others do not count.
	Limits record.Limits
	// MaxMemoryBytes bounds the working memory of one Run apart from the batch
	// itself. 0 means DefaultMaxMemoryBytes.
	MaxMemoryBytes int64
	// MaxEmissionBytes bounds the emissions of one batch, names included, beyond
	// the size of the batch itself: they stand in the batch's entry without
	// compression. 0 means DefaultMaxEmissionBytes.
	MaxEmissionBytes int64
}

const (
	// DefaultMaxMemoryBytes is room for a batch of a million small records.
	DefaultMaxMemoryBytes = 256 << 20
	// DefaultMaxEmissionBytes is room for all records of an ordinary batch.
	DefaultMaxEmissionBytes = 16 << 20
)

// Chain is the chain of one topic. It is immutable.
type Chain struct {
	topic   string
	stages  []Stage
	options Options
	dlq     []string // dead-letter topic by stage
}

// New returns the chain of a topic. It keeps stages, which must not change. Only
// the first plugins.MaxStages stages can have a breaker.
func New(topic string, stages []Stage, o Options) *Chain {
	if o.MaxMemoryBytes <= 0 {
		o.MaxMemoryBytes = DefaultMaxMemoryBytes
	}
	if o.MaxEmissionBytes <= 0 {
		o.MaxEmissionBytes = DefaultMaxEmissionBytes
	}
	c := &Chain{topic: topic, stages: stages, options: o, dlq: make([]string, len(stages))}
	for i := range stages {
		c.dlq[i] = stages[i].Spec.DeadLetterTopic(topic)
	}
	return c
}

// Input is one batch and its context.
type Input struct {
	// Batch was accepted by record.Validate and is no control batch. It is
	// borrowed until Run returns, or for as long as an Output with Unchanged is
	// in use.
	Batch      []byte
	Header     record.Header // of Batch
	Partition  int32
	AppendTime int64  // ms since 1970, the leader's clock
	Seed       uint64 // random, stored with the batch
	Generation uint64 // of the chain
	// Codec and Level compress a batch that has to be rebuilt: the topic's
	// compression.type, else the producer's.
	Codec record.Codec
	Level int
	// Open has bit i set if the breaker of stage i is open.
	Open uint64
}

// Output is what a chain made of a batch.
type Output struct {
	// Refusal says why nothing of the batch may be stored: a *record.RecordsError
	// if records were rejected, else it wraps record.ErrTooLarge or
	// record.ErrInvalidRecord. Batch and Emissions are nil then.
	Refusal error
	// Batch is what is stored: the Input's own bytes if Unchanged, else a batch
	// that the caller owns, or nil if nothing is left to store.
	Batch     []byte
	Unchanged bool
	// Kept records are stored as they came, Replaced ones with changed parts.
	// The five numbers add up to the records of the batch; with a Refusal all of
	// them are Rejected.
	Kept, Replaced, Dropped, DeadLettered, Rejected int
	// Emissions are sorted by index; the caller owns them.
	Emissions []Emission
	// Stages tells what happened in each stage, also with a Refusal. A stage
	// that a Refusal kept from running has zeros.
	Stages []StageStats
}

// StageStats are the numbers of one stage and one batch.
type StageStats struct {
	Name    string
	Records int // that the plugin was to judge; a Breaker observes these
	Skipped int // that passed by the plugin: tombstones
	// Kept, Replaced and Dropped are verdicts, Failed is all other outcomes.
	Kept, Replaced, Dropped, Failed int
	// What became of those that failed.
	Rejected, DeadLettered, FailedDropped, Passed int
	Calls, Traps                                  int
	LogDropped                                    int           // lines beyond the limit
	Fuel                                          int64         // used
	Waited, Elapsed                               time.Duration // for instances; in them
}

// Emission is a record that leaves the batch for another topic.
type Emission struct {
	Index   int32 // offset delta in the client's batch
	Topic   string
	Stage   string // that emitted it
	Code    uint16
	Message string
	// Payload says whether the record itself is carried. Without it Key and Value
	// are nil, and Headers are those of an earlier dead letter only.
	Payload   bool
	Key       []byte // nil is null, as for Value
	Value     []byte
	Headers   []record.RecordHeader
	Timestamp int64 // ms, the record's own
}
