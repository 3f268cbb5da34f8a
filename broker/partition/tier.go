package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/tiering/manifest"
)

// TierPlan is what a topic's configuration says about the cold tier.
type TierPlan struct {
	// Copy says that closed segments are uploaded.
	Copy bool
	// CopyLagMs and CopyLagBytes are how old a closed segment must be, or how
	// much must lie behind it, before it is uploaded; one of them suffices, and
	// Unlimited never does.
	CopyLagMs, CopyLagBytes int64
	// Local is local retention; it takes what is in the tier, and no more.
	Local storage.RetentionSettings
	// Drop says that what is in the tier is to be deleted.
	Drop bool
}

// Tombstone is a segment that the manifest no longer names and whose object is
// not yet deleted.
type Tombstone struct {
	Segment manifest.Segment
	// Since is the time of the entry that took it out of the manifest, in ms.
	Since int64
}

const tombstoneBytes = manifest.SegmentBytes + 8

// tier is a partition's part of the cold tier. It is applied state (D8).
type tier struct {
	list manifest.List
	dead []Tombstone // oldest first
}

// trim takes what lies below the log start out of the manifest. at is in ms.
func (t *tier) trim(start ident.Offset, at int64) {
	list, gone := t.list.Trim(start)
	t.list = list
	for _, s := range gone {
		t.dead = append(t.dead, Tombstone{s, at})
	}
}

func (t *tier) appendTo(b []byte) []byte {
	b = t.list.AppendTo(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.dead)))
	for i := range t.dead {
		b = t.dead[i].Segment.AppendTo(b)
		b = binary.LittleEndian.AppendUint64(b, uint64(t.dead[i].Since))
	}
	return b
}

func decodeTier(b []byte) (tier, []byte, error) {
	var t tier
	var err error
	if t.list, b, err = manifest.DecodeList(b); err != nil {
		return t, nil, fmt.Errorf("%w: %w", errState, err)
	}
	if len(b) < 4 {
		return t, nil, errState
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > int64(len(b)/tombstoneBytes) {
		return t, nil, errState
	}
	for range n {
		var d Tombstone
		if d.Segment, b, err = manifest.DecodeSegment(b); err != nil {
			return t, nil, fmt.Errorf("%w: %w", errState, err)
		}
		if len(b) < 8 {
			return t, nil, errState
		}
		d.Since, b = int64(binary.LittleEndian.Uint64(b)), b[8:]
		t.dead = append(t.dead, d)
	}
	return t, b, nil
}

// publish shows the manifest to readers.
func (p *Partition) publish() {
	list := p.tier.list
	p.tiered.Store(&list)
}

// Tiered returns what is in the cold tier. Any goroutine may call it.
func (p *Partition) Tiered() manifest.List { return *p.tiered.Load() }

// Upload is a closed segment that is to be copied to the cold tier.
type Upload struct {
	Base, End ident.Offset
	Bytes     int64
	Term      uint64
	// Producers is what is known of producers at the end of the segment, as a
	// checkpoint has it; it may lack those that wrote behind it since. Epochs are
	// the leader epochs of the segment.
	Producers []byte
	Epochs    []EpochStart
}

// NextUpload returns the segment that is to be uploaded next, if there is one:
// the manifest grows without gaps. Only what is below the last stable offset is
// ever uploaded, and closed segments are. now is in ms.
func (p *Partition) NextUpload(now int64, plan TierPlan) (Upload, bool) {
	g, ok := p.NextSegment(now, plan)
	if !ok {
		return Upload{}, false
	}
	u := Upload{Base: g.Base, End: g.End, Bytes: g.Bytes, Term: p.term, Producers: p.producers.before(g.End).appendTo(nil)}
	for _, e := range p.epochs.Load().between(g.Base, g.End) {
		u.Epochs = append(u.Epochs, EpochStart{Epoch: e.epoch, Start: e.start})
	}
	return u, true
}

// NextSegment returns the segment that NextUpload would return, for less work.
func (p *Partition) NextSegment(now int64, plan TierPlan) (storage.SegmentInfo, bool) {
	if !plan.Copy || p.committing || p.serving() != nil {
		return storage.SegmentInfo{}, false
	}
	next := p.uncopied()
	if len(next) == 0 {
		return storage.SegmentInfo{}, false
	}
	g, behind := next[0], p.log.Active().Bytes
	for _, s := range next[1:] {
		behind += s.Bytes
	}
	return g, plan.due(now, g, behind) && p.log.Written(g.Base)
}

// uncopied returns the closed segments that are not in the tier, oldest first.
func (p *Partition) uncopied() []storage.SegmentInfo {
	sealed := p.log.Sealed()
	end, some := p.tier.list.End()
	n := 0
	for n < len(sealed) && (some && sealed[n].Base < end || sealed[n].End <= p.log.Start()) {
		n++
	}
	return sealed[n:]
}

// due reports whether a segment is old enough to be uploaded.
func (t *TierPlan) due(now int64, g storage.SegmentInfo, behind int64) bool {
	byTime := t.CopyLagMs == 0 || t.CopyLagMs > 0 && g.MaxTimestamp >= 0 && now-g.MaxTimestamp >= t.CopyLagMs
	return byTime || t.CopyLagBytes >= 0 && behind >= t.CopyLagBytes
}

// OpenUpload opens the bytes of an Upload. Any goroutine may call it; it blocks on
// disk, and the file must be closed with the function that is returned. What is read
// is to be checked with the file's Check.
func (p *Partition) OpenUpload(u *Upload) (*storage.SealedFile, func(), error) {
	if !p.enter() {
		return nil, nil, ErrNotLeader
	}
	f, err := p.log.OpenSealed(u.Base)
	if err != nil {
		p.leave()
		if errors.Is(err, storage.ErrDamaged) {
			err = errors.Join(ErrDamaged, err)
		}
		return nil, nil, err
	}
	return f, func() { f.Close(); p.leave() }, nil
}

// Backlog returns how many closed segments are not in the tier, and their bytes.
func (p *Partition) Backlog() (segments int, bytes int64) {
	waiting := p.uncopied()
	for _, s := range waiting {
		bytes += s.Bytes
	}
	return len(waiting), bytes
}

// commitToken waits for the outcome of a tier commit.
type commitToken struct {
	done func(accepted bool, err error)
}

// CommitUpload proposes that an uploaded and verified segment counts. done is
// called once, on the owner. Without an error accepted tells whether the
// manifest names it now; if it does not, the object is garbage. So it is if the
// replica does not lead any more: nothing is proposed then. After an error that is
// not known, and the object must stay. now is in ms.
func (p *Partition) CommitUpload(s manifest.Segment, now int64, done func(accepted bool, err error)) {
	switch err := p.serving(); {
	case errors.Is(err, ErrNotLeader):
		done(false, nil)
		return
	case err != nil:
		done(false, err)
		return
	}
	s.CommittedAt = now
	if err := s.Check(); err != nil { // it would be damage to apply
		done(false, err)
		return
	}
	e := entry.Build(entry.TierCommit, now, s.AppendTo(nil), nil)
	if err := p.c.Log.Propose(e, &commitToken{done}, true); err != nil {
		done(false, proposeError(err))
		return
	}
	p.committing = true
}

// applyTierCommit adds a segment to the manifest if it is the one that follows. The
// object may hold more than the file: a repair may have taken damaged batches out of
// that since, and what was committed before has to be committed by a replay too.
func (p *Partition) applyTierCommit(d entry.Entry, token any) error {
	s, rest, err := manifest.DecodeSegment(d.Header)
	if err != nil || len(rest) != 0 || len(d.Payload) != 0 {
		return errState
	}
	next := p.uncopied()
	accepted := len(next) > 0 && next[0].Base == s.Base && next[0].End == s.End && next[0].Bytes <= s.DataBytes || mutant.On(mutant.CommitOutOfOrder)
	if accepted {
		if p.tier.list, err = p.tier.list.Append(s); err != nil {
			return err
		}
		p.publish()
	}
	if t, ok := token.(*commitToken); ok {
		p.committing = false
		if accepted {
			p.noteFound(&s)
		}
		t.done(accepted, nil)
	}
	return nil
}

// applyLocalStart lets go of local segments, but never of what the tier does
// not hold (S1), whatever the entry says.
func (p *Partition) applyLocalStart(d entry.Entry) error {
	if len(d.Header) != 8 || len(d.Payload) != 0 {
		return errState
	}
	if mutant.On(mutant.EvictUncopied) {
		p.log.AdvanceLocalStart(ident.Offset(binary.LittleEndian.Uint64(d.Header)))
	}
	if end, ok := p.tier.list.End(); ok {
		p.log.AdvanceLocalStart(min(ident.Offset(binary.LittleEndian.Uint64(d.Header)), end))
	}
	return nil
}

// applyTierDrop gives up everything that is in the tier: the log starts where
// the local log does.
func (p *Partition) applyTierDrop(d entry.Entry) error {
	if len(d.Header) != 0 || len(d.Payload) != 0 {
		return errState
	}
	if !mutant.On(mutant.DropKeepsLogStart) {
		p.log.AdvanceStart(p.log.LocalStart())
	}
	if end, ok := p.tier.list.End(); ok {
		p.tier.trim(end, d.Time)
	}
	p.found = 0
	p.started(d.Time)
	return nil
}

// started follows a move of the log start. at is in ms.
func (p *Partition) started(at int64) {
	es := p.epochs.Load().trim(p.log.Start())
	p.epochs.Store(&es)
	p.tier.trim(p.log.Start(), at)
	p.publish()
	p.wake()
}

// Discardable returns tombstones, at most n, that are older than the grace, which
// is for readers that still use the object. now is in ms.
func (p *Partition) Discardable(now, graceMs int64, n int) []Tombstone {
	if p.serving() != nil {
		return nil
	}
	if mutant.On(mutant.DiscardWithoutGrace) {
		graceMs = 0
	}
	var due []Tombstone
	for _, t := range p.tier.dead {
		if len(due) < n && now-t.Since >= graceMs {
			due = append(due, t)
		}
	}
	return due
}

// Dead returns the tombstones. The slice is valid until the next entry is
// applied.
func (p *Partition) Dead() []Tombstone { return p.tier.dead }

// Tombstones returns how many objects wait to be deleted.
func (p *Partition) Tombstones() int { return len(p.tier.dead) }

// Discarded proposes to forget tombstones whose objects are deleted. now is in
// ms.
func (p *Partition) Discarded(gone []Tombstone, now int64) {
	b := make([]byte, 0, len(gone)*len(manifest.ID{}))
	for i := range gone {
		b = append(b, gone[i].Segment.ID[:]...)
	}
	p.propose(&p.forgettingDead, tokenDead, entry.TierTrim, now, nil, b)
}

// applyTierTrim forgets tombstones.
func (p *Partition) applyTierTrim(d entry.Entry) error {
	var id manifest.ID
	if len(d.Header) != 0 || len(d.Payload)%len(id) != 0 {
		return errState
	}
	gone := map[manifest.ID]bool{}
	for b := d.Payload; len(b) > 0; b = b[len(id):] {
		copy(id[:], b)
		gone[id] = true
	}
	kept := make([]Tombstone, 0, max(len(p.tier.dead)-len(gone), 0))
	for _, t := range p.tier.dead {
		if !gone[t.Segment.ID] {
			kept = append(kept, t)
		}
	}
	p.tier.dead = kept
	return nil
}

// segments describes the whole log, tiered or not, for retention.
func (p *Partition) segments() []storage.SegmentInfo {
	local := p.log.Sealed()
	end, some := p.tier.list.End()
	if !some {
		return local
	}
	all := make([]storage.SegmentInfo, 0, p.tier.list.Len()+len(local))
	for i := range p.tier.list.Len() {
		s := p.tier.list.At(i)
		all = append(all, storage.SegmentInfo{Base: s.Base, End: s.End, Bytes: s.DataBytes, MaxTimestamp: s.MaxTimestamp, FirstTimestamp: -1})
		if mutant.On(mutant.TieredCountedTwice) {
			all[i].Bytes *= 2
		}
	}
	for _, g := range local {
		if g.Base >= end {
			all = append(all, g)
		}
	}
	return all
}

// maintainTier proposes what the plan asks of the local log and of the tier,
// closing the active segment if local retention would take it. now is in ms.
func (p *Partition) maintainTier(now int64, plan TierPlan) {
	if _, some := p.tier.list.End(); plan.Drop && some {
		p.propose(&p.dropping, tokenDrop, entry.TierDrop, now, nil, nil)
		return
	}
	if roll := p.Evict(now, plan); roll {
		p.propose(&p.rolling, tokenRoll, entry.Roll, now, nil, nil)
	}
}
