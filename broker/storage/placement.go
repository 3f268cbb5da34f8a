package storage

import (
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
)

// placement knows where the batches of a segment belong, from one place of the
// file on. Base offset and leader epoch of a batch are covered by no checksum of
// its own; the index, which has checksums, names every batch that does not begin
// where the one before it ended. So each base offset is either that of an entry
// or follows from the batch before.
type placement struct {
	base    ident.Offset // of the segment
	entries []indexEntry // of the index file
	pending []indexEntry // behind them; the two may overlap
}

// newPlacement returns what is known from a position on.
func newPlacement(base ident.Offset, entries, pending []indexEntry, pos int64) *placement {
	return &placement{base: base, entries: entriesFrom(entries, pos), pending: entriesFrom(pending, pos)}
}

// entriesFrom leaves out what lies before a position.
func entriesFrom(entries []indexEntry, pos int64) []indexEntry {
	return entries[sort.Search(len(entries), func(i int) bool { return int64(entries[i].position) >= pos }):]
}

// named returns the base offset of the batch at a position if an entry names it.
// Positions must not descend from call to call.
func (p *placement) named(pos int64) (ident.Offset, bool) {
	for _, list := range [...]*[]indexEntry{&p.entries, &p.pending} {
		for len(*list) > 0 && int64((*list)[0].position) < pos {
			*list = (*list)[1:]
		}
		if len(*list) > 0 && int64((*list)[0].position) == pos {
			return p.base + ident.Offset((*list)[0].relative), true
		}
	}
	return 0, false
}

// SetEpochs has every batch that is read from a file compared with the leader
// epoch that at returns for its last offset, -1 if that is not known. It belongs
// to the owner, before others use the log. at is called from any goroutine; it
// must know the epoch of every batch that was appended and is not below the log
// start. Without it epochs are taken as they are read.
func (l *Log) SetEpochs(at func(last ident.Offset) ident.Epoch) { l.epochs = at }

// checkEpoch compares the leader epoch of a batch with what is known of it.
func (l *Log) checkEpoch(name string, pos int64, h *record.Header) error {
	if l.epochs == nil || mutant.On(mutant.EpochsTrusted) {
		return nil
	}
	if e := l.epochs(ident.Offset(h.LastOffset())); e >= 0 && e != ident.Epoch(h.LeaderEpoch) {
		return damaged(name, pos, ident.Offset(h.BaseOffset), "batch at offset %d of leader epoch %d, it was appended under %d", h.BaseOffset, h.LeaderEpoch, e)
	}
	return nil
}
