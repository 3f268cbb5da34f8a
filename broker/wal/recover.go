package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// ErrCorrupt: bytes that were durable are damaged or missing. Nothing on disk
// was changed. The wrapped *Damage names what is hurt.
var ErrCorrupt = errors.New("wal: corrupt")

// Damage says where the log is corrupt.
type Damage struct {
	File     string
	Offset   int64 // in the file; -1 if the whole file
	Position int64
	Groups   []ident.GroupID // named by what is still readable there; may be incomplete
	Reason   string
}

// Error names the file, the place and the remedy.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s, offset %d (log position %d, groups %v): %s; restore the file, or give up what is lost with `varve repair --accept-loss`",
		d.File, d.Offset, d.Position, d.Groups, d.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (d *Damage) Unwrap() error { return ErrCorrupt }

// Recovered is what the log held when it was opened.
type Recovered struct {
	Groups       []*Group  // by group id
	Gone         []Replica // destroyed, by group and replica, as far as the log still says so
	Checkpoint   uint64    // highest checkpoint id seen, complete or not; a new one must be higher
	Bytes        int64     // of valid writes that were read
	DroppedTail  bool      // an unsynced write was found and dropped
	FilesScanned int
	// Garbage are files that may leave the log, as those that Advance returns, and
	// before them: the broker ended before they were removed.
	Garbage []Garbage
}

// Replica names one group's replica on this broker.
type Replica struct {
	Group ident.GroupID
	ID    ident.ReplicaID
}

// Group is what recovery knows of one group.
type Group struct {
	ID      ident.GroupID
	Replica ident.ReplicaID
	State   []byte // from the newest checkpoint, nil if it lists no such group
	Low     int64  // from the newest checkpoint
	// Hard state of the newest append behind the checkpoint; all zero if there
	// is none.
	Term, Vote, Commit uint64
	// Entries in index order without gaps, and the position of the write that
	// holds each. Some may lie at or below the index that State has applied.
	Entries   []Entry
	Positions []int64

	last int // number of the newest record
}

// Open recovers the log and makes it ready for writing in a new file. It blocks
// for as long as the unapplied part of the log takes to read.
func Open(fs vfs.FS, s Settings) (*Log, *Recovered, error) {
	if err := fs.MkdirAll(s.Dir); err != nil {
		return nil, nil, fmt.Errorf("open the write-ahead log: %w", err)
	}
	r := &recovery{fs: fs, s: s, groups: map[ident.GroupID]*Group{}, gone: map[Replica]bool{}, destroyed: map[Replica]bool{}}
	defer r.close()
	if err := r.run(); err != nil {
		return nil, nil, err
	}
	l, err := r.start()
	if err != nil {
		return nil, nil, fmt.Errorf("start the write-ahead log: %w", err)
	}
	rec := r.result()
	// What the new file's header says was proven, and is durable by now.
	rec.Garbage = l.retire(l.cur.head.low)
	return l, rec, nil
}

// recovery reads the log, following docs/format/wal.md step by step.
type recovery struct {
	fs vfs.FS
	s  Settings

	in       reader
	files    []*found    // by sequence
	spares   []spareFile // files to use again, or half-made ones
	dead     []string    // names to unlink: half-made, or wholly below low
	sequence uint64      // highest seen
	base     int64       // of the file to make

	next  map[int64]int // where a file's first write says the log went on -> that file
	begun []bool        // of each file: whether its first write is valid

	groups       map[ident.GroupID]*Group
	gone         map[Replica]bool // since the first piece of the checkpoint being read
	destroyed    map[Replica]bool // in all that was read
	pieces       []Piece          // of the checkpoint that is being read
	piecesFrom   int              // number of its first record
	piecesAt     int64            // position of its first write
	checkpoint   *Piece           // the newest complete one, all groups in one piece
	checkpointAt int64            // position of its first write
	seenID       uint64           // highest checkpoint id
	begins       int64            // the place where reading began: nothing before it was read
	records      int              // read so far

	end       int64    // P: end of the last valid write
	last      []Record // of the last valid write
	lastHead  writeHead
	lastFile  int   // that holds it
	provenLow int64 // of the newest checkpoint before it, or what a file header promises
	bytes     int64
	dropped   bool
}

// found is a file with a valid header.
type found struct {
	name string
	head fileHeader
	file vfs.File
}

func (r *recovery) close() {
	for _, f := range r.files { // without the one that became the current file
		f.file.Close()
	}
}

func (r *recovery) run() error {
	if err := r.readHeaders(); err != nil {
		return err
	}
	if len(r.files) == 0 {
		return nil
	}
	newest := r.files[len(r.files)-1].head
	r.base = newest.base + newest.size
	first, err := r.readFirstWrites()
	if err != nil {
		return err
	}
	if err := r.scan(first); err != nil {
		return err
	}
	return r.checkComplete()
}

// readHeaders opens every file of the log and sorts out those whose creation
// was cut off. Nothing is removed before everything has been judged.
func (r *recovery) readHeaders() error {
	entries, err := r.fs.List(r.s.Dir)
	if err != nil {
		return fmt.Errorf("list the write-ahead log: %w", err)
	}
	r.in.ahead = peekAhead
	for _, e := range entries {
		if seq, ok := parseName(e.Name, spareSuffix); ok {
			r.sequence = max(r.sequence, seq)
			r.spares = append(r.spares, spareFile{e.Name, e.Size})
			continue
		}
		seq, ok := parseFileName(e.Name)
		if !ok {
			continue // not ours; left alone
		}
		r.sequence = max(r.sequence, seq)
		name := r.s.Dir + "/" + e.Name
		f, err := r.fs.OpenDirect(name)
		if err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
		head, bad, err := r.readHeader(f, e.Size, seq)
		if err != nil {
			f.Close()
			return fmt.Errorf("read %s: %w", name, err)
		}
		if bad == "" {
			r.files = append(r.files, &found{name: e.Name, head: head, file: f})
			continue
		}
		// A file is used only after its header and its size are durable. So if
		// a write stands in it, the header was there and is damaged.
		floor := r.endSoFar()
		if head.sequence != 0 {
			floor = 0 // a good header, of another file: nothing in it is of an earlier use
		}
		written, err := r.in.holdsWrite(f, e.Size, floor)
		f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if written {
			return &Damage{File: name, Offset: 0, Position: -1, Reason: bad}
		}
		r.dead = append(r.dead, e.Name)
	}
	sort.Slice(r.files, func(i, j int) bool { return r.files[i].head.sequence < r.files[j].head.sequence })
	return nil
}

// endSoFar is where the newest file found ends: no write of a newer file has a
// position before that. Files are found by sequence.
func (r *recovery) endSoFar() int64 {
	if len(r.files) == 0 {
		return 0
	}
	head := r.files[len(r.files)-1].head
	return head.base + head.size
}

// readFirstWrites learns where each file continues the log, and returns the
// file to begin with: the oldest one that holds a write at all and is not
// wholly below what the newest header says is needed.
func (r *recovery) readFirstWrites() (int, error) {
	r.next, r.begun = map[int64]int{}, make([]bool, len(r.files))
	first, begins := 0, int64(-1)
	low := r.files[len(r.files)-1].head.low
	for i, f := range r.files {
		head, records, err := r.in.readWrite(f, fileHeaderBytes)
		if err != nil {
			return 0, fmt.Errorf("read %s/%s: %w", r.s.Dir, f.name, err)
		}
		if records == nil {
			continue
		}
		// Of several files that continue the log at one place the newest is
		// alive; the others were dropped by an earlier recovery.
		r.next[head.previous], r.begun[i] = i, true
		if begins < 0 && f.head.base+f.head.size > low {
			begins = head.previous
		}
	}
	if begins >= 0 {
		// A later file may hold the same write again; then that one counts.
		first = r.next[begins]
	}
	r.begins = begins
	return first, nil
}

// fromTheStart reports whether reading began with the first write of all. That
// one names its own position as the place before it, and so does each copy that
// a recovery made of it.
func (r *recovery) fromTheStart() bool {
	if r.begins < 0 {
		return r.files[0].head.base == 0
	}
	return r.startsLog(r.begins)
}

// startsLog reports whether a write that names this place as the one before it
// is the first of all, or a copy: no other write ends at the first block of a
// file.
func (r *recovery) startsLog(previous int64) bool {
	for _, f := range r.files {
		if previous == f.head.base+fileHeaderBytes {
			return true
		}
	}
	return false
}

// promised is the highest low of any file header.
func (r *recovery) promised() int64 {
	low := int64(0)
	for _, f := range r.files {
		low = max(low, f.head.low)
	}
	return low
}

// readHeader returns a file's header, or what is wrong with it.
func (r *recovery) readHeader(f vfs.File, size int64, sequence uint64) (fileHeader, string, error) {
	b, ok, err := r.in.view(f, 0, fileHeaderBytes, size)
	if err != nil {
		return fileHeader{}, "", err
	}
	if !ok {
		return fileHeader{}, "the file is shorter than its header", nil
	}
	head, err := decodeFileHeader(b)
	switch {
	case err != nil:
		return head, err.Error(), nil
	case head.sequence != sequence:
		return head, fmt.Sprintf("the header says sequence %d: the file was copied or renamed", head.sequence), nil
	case head.directory != r.s.Directory:
		return head, "the file belongs to another data directory", nil
	case size < head.size:
		return head, fmt.Sprintf("the file has %d bytes, its header says %d", size, head.size), nil
	}
	return head, "", nil
}

// checkComplete refuses a log whose beginning, or newest checkpoint, is missing.
func (r *recovery) checkComplete() error {
	low, promised := r.lastLow(), r.promised()
	reason := ""
	switch {
	case r.fromTheStart() && low >= promised:
		return nil
	case r.checkpoint == nil:
		reason = fmt.Sprintf("the oldest readable write follows log position %d and there is no checkpoint: a file is missing or damaged", r.begins)
	case low < r.begins:
		reason = fmt.Sprintf("the oldest readable write follows log position %d, but the checkpoint needs position %d: a file is missing or damaged", r.begins, low)
	case low < promised:
		reason = fmt.Sprintf("a file header says that a checkpoint needed nothing below position %d, but the newest checkpoint found needs position %d: a checkpoint is missing or damaged", promised, low)
	default:
		return nil
	}
	needed := low
	if r.checkpoint == nil {
		needed = r.begins - 1
	}
	for i, f := range r.files {
		if !r.begun[i] && f.head.base <= needed && needed < f.head.base+f.head.size {
			return r.damageAt(i, fileHeaderBytes, reason) // nothing was read from there on
		}
	}
	return &Damage{File: r.s.Dir + "/" + r.files[0].name, Offset: -1, Position: low, Reason: reason}
}

// lastLow is the smallest position that the newest checkpoint needs.
func (r *recovery) lastLow() int64 {
	if r.checkpoint == nil {
		return 0
	}
	if len(r.checkpoint.Groups) == 0 {
		return r.checkpointAt
	}
	low := r.checkpoint.Groups[0].Low
	for _, g := range r.checkpoint.Groups {
		low = min(low, g.Low)
	}
	return low
}

// start makes the new file, writes the last write again, because it may stand
// in the page cache only, and then removes what is dead.
func (r *recovery) start() (*Log, error) {
	l := &Log{fs: r.fs, s: r.s, keep: r.s.ReserveBytes, sequence: r.sequence + 1, low: r.lastLow()}
	ok := false
	defer func() {
		if !ok && l.cur != nil {
			l.cur.file.Close()
		}
	}()
	for _, f := range r.files {
		l.old = append(l.old, &closed{name: f.name, end: f.head.base + f.head.size, size: f.head.size})
		l.allocated += f.head.size
	}
	if err := r.keepSpares(l); err != nil {
		return nil, err
	}
	if err := r.makeCurrent(l); err != nil {
		return nil, err
	}
	// The copy takes the place of the last write, and of copies that earlier
	// recoveries made of it: all of them name the same place before them.
	l.previous, l.durable = r.lastHead.previous, r.lastHead.previous
	if len(r.last) == 0 {
		l.previous = l.cur.head.base + fileHeaderBytes
		l.durable = l.previous
	} else if err := l.rewrite(r.last); err != nil {
		return nil, err
	}
	if err := r.removeDead(l); err != nil {
		return nil, err
	}
	ok = true
	return l, nil
}

// removeDead unlinks half-made files, and those behind the end of the log: a
// broker that restarts again and again must not fill its disk with them.
func (r *recovery) removeDead(l *Log) error {
	dead := r.dead
	for i := len(l.old) - 1; i >= r.alive(); i-- {
		dead = append(dead, l.old[i].name)
		l.allocated -= l.old[i].size
		l.old = l.old[:i]
	}
	for i := len(dead) - 1; i >= 0; i-- {
		name := r.s.Dir + "/" + dead[i]
		if err := r.fs.Remove(name); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	return r.fs.SyncDir(r.s.Dir)
}

// alive returns how many of the old files hold something that is needed now
// that the last write was written again. The file in which the log began stays:
// until there is a checkpoint it shows that nothing is missing before it.
func (r *recovery) alive() int {
	if len(r.last) == 0 {
		return 1
	}
	head := &r.lastHead
	first := head.position == r.files[r.lastFile].head.base+fileHeaderBytes
	if first && head.previous != head.position {
		return r.lastFile
	}
	return r.lastFile + 1
}

// rewrite logs records at once.
func (l *Log) rewrite(records []Record) error {
	for _, rec := range records {
		if err := l.Enqueue(rec, nil, 0); err != nil {
			return err
		}
	}
	w := l.Next()
	if w == nil || w.Records() != len(records) {
		return fmt.Errorf("%w: the last write does not fit into a new file", ErrTooLarge)
	}
	return l.Done(w, w.Do(), func(any) {})
}

func (r *recovery) result() *Recovered {
	out := &Recovered{Bytes: r.bytes, DroppedTail: r.dropped, FilesScanned: len(r.files), Checkpoint: r.seenID}
	for _, g := range r.groups { // order: sorted below
		out.Groups = append(out.Groups, g)
	}
	sort.Slice(out.Groups, func(i, j int) bool { return out.Groups[i].ID < out.Groups[j].ID })
	for g := range r.destroyed { // order: sorted below
		if alive := r.groups[g.Group]; alive == nil || alive.Replica != g.ID {
			out.Gone = append(out.Gone, g)
		}
	}
	slices.SortFunc(out.Gone, func(a, b Replica) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.ID, b.ID))
	})
	return out
}
