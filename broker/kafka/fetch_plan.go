package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// fetchBudget says how much each partition of a fetch may add to the response,
// in the order of the request (KIP-74).
type fetchBudget struct {
	left  int  // bytes
	taken bool // a batch is in the response
}

// next returns how many bytes the next partition may give, and whether it may
// give one batch that is larger: the first one of a response always may, so that
// no batch is too large to be read.
func (b *fetchBudget) next(partitionMax int32) (maxBytes int, minOne bool) {
	return max(min(b.left, int(partitionMax)), 0), !b.taken
}

// spend counts what a partition gave.
func (b *fetchBudget) spend(bytes int) {
	b.left -= bytes
	b.taken = b.taken || bytes > 0
}

// reserve sets aside what a partition may give that is still to be read.
func (b *fetchBudget) reserve(maxBytes int) {
	b.left -= maxBytes
	b.taken = true
}

// fetchLimits are what a fetch waits for and ends at.
type fetchLimits struct {
	minBytes, maxBytes int
	committed          bool // read_committed
}

// planLimits bounds what a request asks for by what the broker allows.
func planLimits(minBytes, maxBytes int32, isolation int8, brokerMax int64) fetchLimits {
	most := int(max(min(int64(maxBytes), brokerMax), 0))
	return fetchLimits{maxBytes: most, minBytes: min(int(minBytes), most), committed: isolation == readCommitted}
}

// until is where a reader must stop.
func (l *fetchLimits) until(o *partition.Offsets) ident.Offset {
	if l.committed {
		return o.LastStable
	}
	return o.HighWatermark
}

// checkFetch judges a reader's epoch and offset.
func checkFetch(o *partition.Offsets, epoch int32, from ident.Offset) error {
	if err := checkEpoch(epoch, o.LeaderEpoch); err != nil {
		return err
	}
	if from < o.LogStart || from > o.HighWatermark {
		return kerr.OffsetOutOfRange
	}
	return nil
}

// needsFiller reports whether a reader at from, who was given nothing, stands
// before a hole that reaches up to until: next is where the log reads on.
func needsFiller(from, next, until ident.Offset, batches int) bool {
	return batches == 0 && from < until && next >= until
}
