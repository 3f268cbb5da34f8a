package wal

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/invariant"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/vfs"
)

// Errors of a running log.
var (
	// ErrFailed: a write or a sync failed. The log is dead for the life of the
	// process; nothing written since its last successful sync is acknowledged.
	ErrFailed = errors.New("wal: failed")
	// ErrTooLarge: a record that could never fit into one file.
	ErrTooLarge = errors.New("wal: record exceeds the size of a file")
)

// Settings say where the log lies and how large it may become. Bytes are file
// sizes, multiples of Block.
type Settings struct {
	Dir            string // relative to the data directory
	FirstFileBytes int64  // of the first file of a new log
	FileBytes      int64  // of all others
	BytesMax       int64  // of all files together; no file is made beyond it but for a checkpoint, see Overdraw
	ReserveBytes   int64  // kept for records that are not clients' batches
	Directory      [16]byte
	Entropy        func() uint64 // for file generations; must not repeat
}

// DefaultSettings returns the sizes that DESIGN D2 gives.
func DefaultSettings() Settings {
	return Settings{
		Dir: "wal", FirstFileBytes: 8 << 20, FileBytes: 64 << 20, BytesMax: 256 << 20, ReserveBytes: 2 << 20,
	}
}

// itemsKept bounds the list of a write's records that is used again for a later
// write.
const itemsKept = 16 << 10

// segment is one open file of the log.
type segment struct {
	head fileHeader
	file vfs.File
	off  int64 // where the next write goes
}

func (s *segment) end() int64  { return s.head.base + s.head.size }
func (s *segment) room() int64 { return s.head.size - s.off }

// item is a record waiting to be written.
type item struct {
	rec   Record
	token any
	cost  int64
}

// Log is an open write-ahead log.
type Log struct {
	fs vfs.FS
	s  Settings

	old       []*closed // files before the current one, oldest first
	cur       *segment
	next      *segment // made ready, not yet written
	preparing bool
	sequence  uint64 // of the newest file ever made
	allocated int64  // bytes of all files that exist, spare ones included

	spares   []string // names of files of FileBytes to use again
	retiring int      // files that become spare ones when they are Removed
	peak     int      // files that the log had lately

	queue    []item
	queued   int64 // cost of the queue
	reserved int64 // granted by Reserve and not yet enqueued
	biggest  int64 // largest outstanding cost: what the end of a file may waste
	inflight *Write
	buf      []byte // of the write in flight
	items    []item // likewise

	previous  int64 // end of the last write issued
	durable   int64 // end of the last write synced
	low       int64 // of the last durable checkpoint
	keep      int64 // what only system records may use
	wanting   bool  // Reserve refused since the last file was made
	overdraft int   // so many files beyond BytesMax may be made
	failed    error
}

// closed is a file that is written to its end.
type closed struct {
	name string
	end  int64
	size int64
}

// Cost returns the most that a record with n bytes of entry data in `entries`
// entries can take on disk, alone in a write of its own.
func Cost(entries int, n int64) int64 {
	return align(writeHeader + recordHeader + appendHeader + int64(entries)*entryHeader + n)
}

// Tail returns a position that no record enqueued from now on lies below.
func (l *Log) Tail() int64 {
	if l.inflight != nil {
		return l.inflight.end
	}
	return l.previous
}

// Durable returns the position below which everything is synced.
func (l *Log) Durable() int64 { return l.durable }

// Low returns the position below which recovery needs nothing.
func (l *Log) Low() int64 { return l.low }

// Debt returns how many bytes a recovery would have to read.
func (l *Log) Debt() int64 { return l.Tail() - l.low }

// Occupied returns how many bytes lie between the beginning of the oldest file and
// the tail: a file is free again only when nothing in it is needed, so this may be
// nearly a file more than Debt.
func (l *Log) Occupied() int64 {
	if len(l.old) > 0 {
		return l.Tail() - (l.old[0].end - l.old[0].size)
	}
	return l.Tail() - l.cur.head.base
}

// Outstanding returns how many bytes are enqueued and not yet durable.
func (l *Log) Outstanding() int64 {
	n := l.queued
	if l.inflight != nil {
		n += l.inflight.total
	}
	return n
}

// Err returns why the log failed, or nil.
func (l *Log) Err() error { return l.failed }

// free returns the bytes that can still be written without a new file, after
// everything that is queued or reserved, and after what the end of the current
// file may waste because a record does not fit there.
func (l *Log) free() int64 { return l.freeFor(l.biggest) }

// Short reports whether the system's records may soon need a new file: what is
// left without one is less than what is kept for them.
func (l *Log) Short() bool { return l.next == nil && l.free() < l.keep }

// freeFor is free if the largest record has that cost. What the end of the
// current file may waste is never more than what is left of it.
func (l *Log) freeFor(biggest int64) int64 {
	n := l.cur.room() - l.queued - l.reserved
	if l.next != nil {
		n += l.next.room() - min(biggest, l.cur.room())
	}
	return n
}

// Reserve sets cost bytes aside for a record that will be enqueued, and reports
// whether they are there. System records (retention, deletion, elections,
// checkpoints) may use what is kept back from clients' batches.
func (l *Log) Reserve(cost int64, system bool) bool {
	keep := l.keep
	if system && !mutant.On(mutant.RetentionNeedsSpace) {
		keep = 0
	}
	if l.failed != nil || l.Left(cost) < keep {
		l.wanting = true
		return false
	}
	if len(l.queue) == 0 && l.reserved == 0 {
		l.biggest = 0
	}
	l.reserved += cost
	l.biggest = max(l.biggest, cost)
	return true
}

// Left returns how much can still be written behind a record of that cost. If nothing
// else waits, it is known where the record goes; else what the end of a file may
// waste is taken off.
func (l *Log) Left(cost int64) int64 {
	if len(l.queue) > 0 || l.reserved > 0 {
		return l.freeFor(max(cost, l.biggest)) - cost
	}
	here, n := l.cur.room(), int64(0)
	if l.next != nil {
		n = l.next.room()
	}
	if cost <= here {
		n += here
	}
	return n - cost
}

// Turn gives up the rest of the current file for the one that waits, if a record
// of that cost does not fit into that rest and was refused: the record would have
// wasted it anyway, and behind it there must be room for what is kept, which only
// another file gives. It reports whether it did.
func (l *Log) Turn(cost int64) bool {
	idle := l.failed == nil && l.inflight == nil && len(l.queue) == 0 && l.reserved == 0
	if !idle || l.next == nil || cost <= l.cur.room() || l.next.room()-Block < l.keep {
		return false
	}
	l.advance()
	// Its write tells that the log goes on there.
	return l.Enqueue(Record{Kind: KindProof}, nil, 0) == nil
}

// Held reports whether a client's record of this cost is refused only for what
// SetReserve keeps beyond the setting.
func (l *Log) Held(cost int64) bool {
	left := l.Left(cost)
	return left < l.keep && left >= l.s.ReserveBytes
}

// Fits reports whether a record of this cost can ever be written.
func (l *Log) Fits(cost int64) bool {
	return cost <= l.s.FileBytes-fileHeaderBytes-l.s.ReserveBytes
}

// Unreserve gives back what Reserve granted for a record that will not come.
func (l *Log) Unreserve(cost int64) { l.reserved -= cost }

// SetReserve changes the bytes kept for system records, never below the
// setting: a checkpoint must always fit.
func (l *Log) SetReserve(n int64) { l.keep = max(l.s.ReserveBytes, n) }

// Enqueue adds a record behind all others. It keeps the record's slices until
// Done returns the token. reserved is what Reserve granted for it, 0 if it uses
// the system's reserve.
func (l *Log) Enqueue(r Record, token any, reserved int64) error {
	if l.failed != nil {
		return l.failed
	}
	cost := align(writeHeader + r.size())
	if cost > l.s.FileBytes-fileHeaderBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, cost)
	}
	l.queue = append(l.queue, item{rec: r, token: token, cost: cost})
	l.reserved -= reserved
	l.queued += cost
	l.biggest = max(l.biggest, cost)
	invariant.Costly(l.consistent)
	return nil
}

// Pending reports whether records wait to be written or are being written.
func (l *Log) Pending() bool { return len(l.queue) > 0 || l.inflight != nil }

// Write is one group commit.
type Write struct {
	seg   *segment
	head  writeHead
	items []item
	buf   []byte // aligned as direct files want it, at least as long as the write
	total int64
	end   int64 // position behind it
}

// Bytes returns the length of the write on disk.
func (w *Write) Bytes() int64 { return w.total }

// Records returns how many records the write carries.
func (w *Write) Records() int { return len(w.items) }

// Do encodes the records, writes and syncs. It blocks, and is called once, on
// any goroutine.
func (w *Write) Do() error {
	data := w.encode()
	name := fileName(w.seg.head.sequence)
	off := w.head.position - w.seg.head.base
	if _, err := w.seg.file.WriteAt(data, off); err != nil {
		return fmt.Errorf("write %d bytes at %d of %s: %w", len(data), off, name, err)
	}
	if mutant.On(mutant.ReplyBeforeSync) {
		return nil
	}
	if err := w.seg.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

func (w *Write) encode() []byte {
	buf := w.buf[:writeHeader]
	for i := range w.items {
		buf = w.items[i].rec.encode(buf, w.head.generation, w.head.position+int64(len(buf)))
	}
	used := len(buf)
	buf = buf[:w.total]
	clear(buf[used:])
	w.head.encode(buf)
	return buf
}

// Next builds the next write from what is queued: as many records as fit into
// 4 MiB and into the current file, at least one. It returns nil when there is
// nothing to write, a write is in flight, or the next file is not ready yet.
// The caller runs Do and then calls Done.
func (l *Log) Next() *Write {
	if l.failed != nil || l.inflight != nil || len(l.queue) == 0 {
		return nil
	}
	if align(writeHeader+l.queue[0].rec.size()) > l.cur.room() && !l.advance() {
		return nil
	}
	room := min(l.cur.room(), WriteBytesMax)
	n, size := 0, int64(writeHeader)
	for n < len(l.queue) {
		s := l.queue[n].rec.size()
		if n > 0 && align(size+s) > room {
			break
		}
		size += s
		n++
	}
	return l.build(n, size)
}

// advance makes the prepared file the current one.
func (l *Log) advance() bool {
	if l.next == nil {
		return false
	}
	l.old = append(l.old, &closed{name: fileName(l.cur.head.sequence), end: l.cur.end(), size: l.cur.head.size})
	l.cur.file.Close()
	l.cur, l.next = l.next, nil
	return true
}

func (l *Log) build(n int, size int64) *Write {
	total := align(size)
	if int64(len(l.buf)) < total || (len(l.buf) > 2*WriteBytesMax && total <= WriteBytesMax) {
		l.buf = vfs.AlignedBuffer(int(l.bufferSize(total)))
	}
	position := l.cur.head.base + l.cur.off
	w := &Write{seg: l.cur, buf: l.buf, total: total, end: position + total, items: append(l.items[:0], l.queue[:n]...)}
	l.items = nil
	for i := range w.items {
		l.queued -= w.items[i].cost
	}
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	w.head = writeHead{
		generation: l.cur.head.generation, position: position, previous: l.previous, durable: l.durable,
		length: uint32(size - writeHeader), count: uint32(n),
	}
	l.cur.off += total
	if mutant.On(mutant.BlockRewritten) && total > Block {
		l.cur.off -= Block
	}
	l.previous = w.end
	l.inflight = w
	return w
}

// bufferSize is how large a buffer is made for a write: twice the one before as
// long as writes grow, and not beyond the largest usual write.
func (l *Log) bufferSize(total int64) int64 {
	return max(total, min(max(2*int64(len(l.buf)), 64<<10), WriteBytesMax))
}

// Done takes the outcome of a write's Do and passes the token of each record
// that is durable now to release, in order. An error fails the log for ever.
func (l *Log) Done(w *Write, err error, release func(token any)) error {
	if w != l.inflight {
		return fmt.Errorf("%w: completion of a write that is not in flight", ErrFailed)
	}
	l.inflight = nil
	if err != nil {
		l.fail(err)
		return l.failed
	}
	l.durable = w.end
	if len(l.queue) == 0 && l.reserved == 0 {
		l.biggest = 0
	}
	for i := range w.items {
		release(w.items[i].token)
	}
	clear(w.items)
	if cap(w.items) <= itemsKept {
		l.items = w.items
	}
	invariant.Costly(l.consistent)
	return nil
}

func (l *Log) fail(err error) {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	l.queue = nil
}

// Close releases the files without writing or syncing anything.
func (l *Log) Close() error {
	l.fail(vfs.ErrClosed)
	var errs []error
	for _, s := range []*segment{l.cur, l.next} {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}
