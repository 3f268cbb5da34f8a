package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// A replica that lags too far behind adopts another one's state: it copies the
// other's segments, batch for batch, into a directory of its own, and goes on
// there with the rest of the state. Until then it goes on as it was.

// errAdopt ends an adoption: the other replica does not have it any more, or
// sent what cannot be.
var errAdopt = errors.New("partition: another replica's state cannot be adopted")

// Bounds of an adoption.
const (
	copyBytesMax   = 1 << 20 // of one answer, but for a larger batch
	copyUnwritten  = 4 << 20 // more is not asked for while so much is not written
	snapshotFormat = 1
)

// Copied is a piece of another replica's log.
type Copied struct {
	From    ident.Offset // what was asked for
	Until   ident.Offset
	Batches []byte       // whole batches, back to back; the partition keeps it
	Next    ident.Offset // where to go on
	// Ended tells that the segment ends at Next.
	Ended bool
}

// snapshot is what a replica tells another of its log besides encodeRest.
type snapshot struct {
	logStart, localStart, logEnd ident.Offset
	firstBase, activeBase        ident.Offset // -1: no segment
}

func (s *snapshot) fields() [5]*int64 {
	return [5]*int64{(*int64)(&s.logStart), (*int64)(&s.localStart), (*int64)(&s.logEnd), (*int64)(&s.firstBase), (*int64)(&s.activeBase)}
}

// Snapshot implements replog.Adopter.
func (p *Partition) Snapshot() ([]byte, error) {
	s := snapshot{logStart: p.log.Start(), localStart: p.log.LocalStart(), logEnd: p.log.End(), firstBase: p.log.FirstBase(), activeBase: -1}
	if s.firstBase >= 0 {
		s.activeBase = p.log.Active().Base
	}
	b := []byte{snapshotFormat}
	for _, f := range s.fields() {
		b = binary.AppendVarint(b, *f)
	}
	b = append(b, p.encodeRest()...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func decodeSnapshot(b []byte) (snapshot, saved, error) {
	var s snapshot
	switch {
	case len(b) < 5:
		return s, saved{}, fmt.Errorf("%w: snapshot of %d bytes", errState, len(b))
	case b[0] != snapshotFormat:
		return s, saved{}, fmt.Errorf("%w: snapshot of version %d, this broker reads %d", errState, b[0], snapshotFormat)
	}
	n := len(b) - 4
	if crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return s, saved{}, fmt.Errorf("%w: CRC", errState)
	}
	b = b[1:n]
	for _, f := range s.fields() {
		v, k := binary.Varint(b)
		if k <= 0 {
			return s, saved{}, fmt.Errorf("%w: snapshot", errState)
		}
		*f, b = v, b[k:]
	}
	if s.logStart < 0 || s.logStart > s.localStart || s.localStart > s.logEnd || s.firstBase < -1 ||
		s.firstBase > s.activeBase || s.activeBase > s.logEnd || (s.firstBase < 0) != (s.activeBase < 0) {
		return s, saved{}, fmt.Errorf("%w: %+v", errState, s)
	}
	rest, err := decodeRest(b)
	return s, rest, err
}

// adoption is the copying of another replica's log.
type adoption struct {
	from        ident.ReplicaID
	target      snapshot
	rest        saved
	incarnation uint64
	dir         string
	log         *storage.Log
	next        ident.Offset // what to ask for
	asked       bool
	running     int // runs in flight
	dead        bool
	err         error
}

// incarnationDir names the directory of a replica's files. A replica that
// adopted another's state has a new one.
func incarnationDir(dir string, incarnation uint64) string {
	if incarnation == 0 {
		return dir
	}
	return dir + "." + strconv.FormatUint(incarnation, 10)
}

// Dir returns the directory of the replica's files.
func (p *Partition) Dir() string { return incarnationDir(p.c.Dir, p.incarnation) }

// Incarnation returns the number of that directory.
func (p *Partition) Incarnation() uint64 { return p.incarnation }

// extend makes a copy that goes on one of a later state of the same log: the
// replicas' logs are the same, so that what is here already is part of it.
func (a *adoption) extend(from ident.ReplicaID, target snapshot, rest saved) bool {
	old := &a.target
	if target.logEnd < old.logEnd || target.activeBase < old.activeBase || target.firstBase < old.firstBase || target.firstBase > a.next {
		return false
	}
	a.from, a.target, a.rest, a.asked = from, target, rest, false
	return true
}

// Adopt implements replog.Adopter. A copy in the making is gone on with.
func (p *Partition) Adopt(from ident.ReplicaID, state []byte) error {
	target, rest, err := decodeSnapshot(state)
	if err != nil {
		return err
	}
	// A full disk may have no room for the copy beside what was deleted meanwhile.
	p.log.DropBelow(target.logStart)
	if a := p.adoption; a != nil && a.err == nil {
		if a.next >= a.target.logEnd {
			return replog.ErrAdopting
		}
		if a.extend(from, target, rest) {
			p.pull()
			return nil
		}
	}
	p.Abandon()
	p.incarnations = max(p.incarnations, p.incarnation) + 1
	a := &adoption{from: from, target: target, rest: rest, incarnation: p.incarnations}
	a.dir = incarnationDir(p.c.Dir, a.incarnation)
	a.next = target.firstBase
	if target.firstBase < 0 {
		a.next = target.logEnd
	}
	at := storage.EmptyPosition(a.next)
	// The log may begin with a hole.
	at.LogStart, at.LocalStart = min(target.logStart, a.next), min(target.localStart, a.next)
	// Where the other's segments end is where these do.
	set := rest.settings.storage()
	set.SegmentBytes = 1<<31 - 1
	if a.log, err = storage.Open(p.c.FS, a.dir, at, set, p.c.Cache); err != nil {
		return err
	}
	if target.firstBase >= 0 {
		a.log.Begin()
	}
	p.adoption = a
	p.pull()
	return nil
}

// pull asks for the next piece, once the last one is here.
func (p *Partition) pull() {
	a := p.adoption
	if a == nil || a.asked || a.err != nil || a.next >= a.target.logEnd || a.log.Unwritten() > copyUnwritten || p.c.Pull == nil {
		return
	}
	a.asked = true
	p.c.Pull(a.from, a.next, a.target.logEnd)
}

// Pulling tells again what is asked for, if the answer may be lost.
func (p *Partition) Pulling() {
	if a := p.adoption; a != nil {
		a.asked = false
		p.pull()
	}
}

// Copy answers another replica that adopts this one's state: batches of one
// segment from an offset on, below until. It may block on disk.
func (p *Partition) Copy(from, until ident.Offset) (Copied, error) {
	c := Copied{From: from, Until: until}
	if err := p.parked.Load(); err != nil {
		return c, *err
	}
	if !p.enter() {
		return c, ErrNotLeader
	}
	defer p.leave()
	if until > p.log.End() {
		return c, ErrOffsetOutOfRange
	}
	piece, err := p.log.ReadCopy(from, until, copyBytesMax)
	if err != nil {
		return c, readError(err)
	}
	c.Batches = make([]byte, 0, piece.Bytes)
	for _, b := range piece.Buffers {
		c.Batches = append(c.Batches, b...)
	}
	c.Next = piece.NextOffset
	c.Ended = piece.Sealed && c.Next >= piece.SegmentEnd
	return c, nil
}

// Take takes a piece of the other replica's log, or why there is none.
func (p *Partition) Take(from ident.ReplicaID, c Copied, err error) {
	a := p.adoption
	if a == nil || a.from != from || c.From != a.next || a.err != nil {
		return // of an earlier attempt
	}
	a.asked = false
	if err == nil && p.c.TakeDisk != nil && !p.c.TakeDisk(int64(len(c.Batches))) {
		return // Pulling asks for it again
	}
	if err == nil {
		err = a.take(c)
	}
	if err != nil {
		a.err = fmt.Errorf("%w: %w", errAdopt, err)
		return
	}
	p.pull()
}

// take appends the batches of a piece.
func (a *adoption) take(c Copied) error {
	if c.Next <= a.next || c.Next > a.target.logEnd {
		return fmt.Errorf("%w: from %d to %d", errState, c.From, c.Next)
	}
	if c.Next >= c.Until && c.Until < a.target.logEnd && !c.Ended {
		return nil // asked for before the end moved: the segment may end here by now
	}
	for b := c.Batches; len(b) > 0; {
		h, err := record.ParseHeader(b)
		if err != nil {
			return err
		}
		if h.Size() > len(b) {
			return fmt.Errorf("%w: batch of %d bytes, %d left", errState, h.Size(), len(b))
		}
		batch := b[:h.Size():h.Size()]
		if !record.VerifyCRC(batch) {
			return fmt.Errorf("%w: checksum of the batch at %d", errState, h.BaseOffset)
		}
		if h.BaseOffset+int64(h.LastOffsetDelta) >= int64(c.Next) {
			return fmt.Errorf("%w: batch at %d of %d offsets before %d", errState, h.BaseOffset, h.LastOffsetDelta, c.Next)
		}
		base := ident.Offset(h.BaseOffset)
		if e := a.rest.epochs.at(ident.Offset(h.LastOffset())); e >= 0 && e != ident.Epoch(h.LeaderEpoch) {
			return fmt.Errorf("%w: batch at %d of leader epoch %d, it was appended under %d", errState, base, h.LeaderEpoch, e)
		}
		if err := a.log.Append(base, base+ident.Offset(h.LastOffsetDelta), ident.Epoch(h.LeaderEpoch), h.MaxTimestamp, batch); err != nil {
			return err
		}
		b = b[h.Size():]
	}
	a.next = c.Next
	a.log.SetEnd(c.Next)
	if c.Ended && c.Next <= a.target.activeBase {
		a.log.Roll()
	}
	return nil
}

// work returns the next run of the copy.
func (a *adoption) work() replog.Task {
	if run, ok := a.log.NextRun(runBytes); ok {
		a.running++
		return &runTask{log: a.log, run: run, adopt: a}
	}
	return nil
}

// Adopted implements replog.Adopter. A run in flight is waited for, since its end
// would not be told any more.
func (p *Partition) Adopted() (bool, error) {
	a := p.adoption
	if a == nil {
		return false, errAdopt
	}
	if a.err != nil {
		return false, a.err
	}
	if a.next < a.target.logEnd || a.running > 0 {
		return false, nil
	}
	if p.c.FinishDisk != nil && !p.c.FinishDisk() {
		// Its indexes are written when it can no longer be given up, and what it
		// replaces goes only after that. A later state may be smaller.
		return false, fmt.Errorf("%w: no room on disk for the indexes of the copy", errAdopt)
	}
	return true, nil
}

// Abandon implements replog.Adopter.
func (p *Partition) Abandon() {
	if a := p.adoption; a != nil {
		p.adoption, a.dead = nil, true
		p.dying = append(p.dying, a)
		p.bury(a)
	}
}

// bury gives an abandoned copy back when nothing writes to it any more.
func (p *Partition) bury(a *adoption) {
	if a.running > 0 {
		return
	}
	p.dying = slices.DeleteFunc(p.dying, func(x *adoption) bool { return x == a })
	p.release(a)
}

func (p *Partition) release(a *adoption) {
	a.log.Close()
	if p.c.Unused != nil {
		p.c.Unused(a.dir)
	}
}

// Switch returns the replica that goes on with the adopted state. This one keeps
// nothing of it.
func (p *Partition) Switch() (*Partition, error) {
	a := p.adoption
	if a == nil {
		return nil, errAdopt
	}
	p.adoption = nil
	a.log.SetEnd(a.target.logEnd)
	a.log.AdvanceLocalStart(a.target.localStart)
	a.log.AdvanceStart(a.target.logStart)
	a.log.SetSettings(a.rest.settings.storage())
	a.rest.incarnation = a.incarnation
	next := newPartition(p.c)
	next.incarnations = p.incarnations
	next.restore(a.log, a.rest)
	return next, nil
}

// Bounds returns the first offset that Copy can give, and the log end. Any
// goroutine may call it.
func (p *Partition) Bounds() (first, end ident.Offset) {
	if first = p.log.FirstBase(); first < 0 {
		first = p.log.End()
	}
	return first, p.log.End()
}
