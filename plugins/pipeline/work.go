package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/wasm/abi"
)

// state is where a record of the batch is.
type state uint8

const (
	live state = iota
	dropped
	deadLettered
	rejected
)

// slot is one record of the batch on its way through the chain.
type slot struct {
	abi.Record       // as it is now
	attributes int8  // the client's
	state      state // not live: it left in some stage
	replaced   bool
	original   int32 // in work.originals: as a dead letter carries it; -1: as it is
}

// What a slot, an original and a header count for in the working memory.
const (
	slotBytes     = 144 // with its place in other lists
	originalBytes = 96
	headerBytes   = 48
)

// work is the state of one Run. It is reused; nothing in it outlives the Run.
type work struct {
	chain *Chain
	in    Input

	slots     []slot
	headers   []record.RecordHeader // arena: slots hold parts of it
	originals []abi.Record
	plain     []byte // the batch, decompressed
	arena     []byte // replaced parts
	memory    int64  // counted so far
	left      int    // live slots
	add       func(*record.Record) error

	failures failures
	stats    []StageStats

	// The current stage and call.
	at       int
	stage    *Stage
	stat     *StageStats
	open     bool
	traps    int
	splits   int
	limit    int // records in the next run
	context  abi.Context
	framer   abi.Frame
	frame    []byte
	run      []int32 // slots in the frame
	out      []byte
	verdicts []abi.Verdict

	builder *record.Builder
}

// maxPooledBytes is the most that a work may hold to be kept for reuse.
const maxPooledBytes = 4 << 20

var workPool = sync.Pool{New: func() any {
	w := &work{builder: record.NewBuilder(record.Params{})}
	w.add = w.addRecord
	return w
}}

// worksOut counts the works that are not freed.
var worksOut = invariant.NewGauge("working memory of chains")

func newWork(c *Chain, in *Input) *work {
	w := workPool.Get().(*work)
	worksOut.Add(1)
	w.chain, w.in = c, *in
	w.stats = make([]StageStats, len(c.stages))
	for i := range c.stages {
		w.stats[i].Name = c.stages[i].Name
	}
	w.context = abi.Context{
		Topic: c.topic, Partition: in.Partition, AppendTime: in.AppendTime,
		Seed: in.Seed, Generation: in.Generation,
	}
	return w
}

// release gives w back for reuse, without a reference to any batch.
func (w *work) release() {
	worksOut.Add(-1)
	held := cap(w.slots)*slotBytes + cap(w.headers)*headerBytes + cap(w.originals)*originalBytes +
		cap(w.plain) + cap(w.arena) + cap(w.frame) + cap(w.out) + cap(w.verdicts)*originalBytes + w.builder.Size()
	if held > maxPooledBytes {
		return
	}
	clear(w.slots)
	clear(w.headers)
	clear(w.originals)
	clear(w.verdicts[:cap(w.verdicts)])
	*w = work{
		slots: w.slots[:0], headers: w.headers[:0], originals: w.originals[:0],
		plain: w.plain[:0], arena: w.arena[:0], frame: w.frame[:0], out: w.out[:0],
		run: w.run[:0], verdicts: w.verdicts[:0], builder: w.builder, add: w.add,
	}
	workPool.Put(w)
}

// charge counts n bytes of working memory. false means that the bound forbids
// them; nothing is counted then.
func (w *work) charge(n int64) bool {
	if n > w.chain.options.MaxMemoryBytes-w.memory {
		return false
	}
	w.memory += n
	return true
}

var errMemory = fmt.Errorf("%w: it needs more working memory than a chain has", record.ErrTooLarge)

// load reads the records of the batch into slots. Its error is a refusal.
func (w *work) load() error {
	b := w.in.Batch
	if w.in.Header.Codec() != record.None {
		if err := w.decompress(); err != nil {
			return fmt.Errorf("decompress batch: %w", err)
		}
		b = w.plain
	}
	// b is not compressed, so what ForEach hands out lies in b and stays.
	if err := record.ForEach(b, 0, w.add); err != nil {
		return err
	}
	w.left = len(w.slots)
	return nil
}

// addRecord makes a slot of one record, whose fields lie in the batch.
func (w *work) addRecord(r *record.Record) error {
	if !w.charge(slotBytes + int64(len(r.Headers))*headerBytes) {
		return errMemory
	}
	s := slot{attributes: r.Attributes, original: -1, Record: abi.Record{
		Index:     uint32(r.OffsetDelta),
		Timestamp: w.in.Header.BaseTimestamp + r.TimestampDelta,
		Key:       r.Key,
		Value:     r.Value,
	}}
	if len(r.Headers) > 0 {
		from := len(w.headers)
		w.headers = append(w.headers, r.Headers...)
		s.Headers = w.headers[from:len(w.headers):len(w.headers)]
	}
	w.slots = append(w.slots, s)
	return nil
}

// Offsets in a batch header of what decompress changes.
const (
	batchLengthAt   = 8
	batchLengthEnd  = 12
	batchCodecAt    = 22
	batchCodecBits  = 0x07
	minReadBytes    = 16 << 10
	defaultMaxPlain = record.DefaultMaxDecompressedBytes
)

// decompress makes plain the batch without compression. Its checksum is wrong,
// which ForEach does not look at.
func (w *work) decompress() error {
	b := w.in.Batch
	if len(b) < record.HeaderSize {
		return record.ErrTruncated
	}
	limit := w.chain.options.Limits.MaxDecompressedBytes
	if limit <= 0 {
		limit = defaultMaxPlain
	}
	r, err := record.NewReader(w.in.Header.Codec(), b[record.HeaderSize:], limit)
	if err != nil {
		return err
	}
	defer r.Close()
	w.plain = append(w.plain[:0], b[:record.HeaderSize]...)
	for {
		if cap(w.plain)-len(w.plain) < minReadBytes {
			grown := make([]byte, len(w.plain), 2*cap(w.plain)+minReadBytes)
			copy(grown, w.plain)
			w.plain = grown
		}
		n, err := r.Read(w.plain[len(w.plain):cap(w.plain)])
		w.plain = w.plain[:len(w.plain)+n]
		if !w.charge(int64(n)) {
			return errMemory
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	binary.BigEndian.PutUint32(w.plain[batchLengthAt:], uint32(len(w.plain)-batchLengthEnd))
	w.plain[batchCodecAt] &^= batchCodecBits
	return nil
}
