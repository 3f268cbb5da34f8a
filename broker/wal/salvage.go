package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// Hole is a place of the log that was durable and cannot be read as it should.
type Hole struct {
	File   string // with its directory
	Offset int64  // in the file
	// From and To are log positions; what is lost lies between them.
	From, To int64
	// Groups lost a record there. With Any, groups that are not named may have
	// lost some too. If neither is set, all records were read nevertheless.
	Groups []ident.GroupID
	Any    bool
	Reason string
	// Corrected are the bytes of the file of which one bit was wrong and was put
	// right.
	Corrected []int64

	blamed []Replica // that its damaged records name
	before int       // records that were read before it
}

// Salvaged is what can be read of a log, damaged or not.
type Salvaged struct {
	Holes  []Hole
	Groups []*SalvagedGroup // by id
	// Superseded are files that nothing needs and that Open still refuses or
	// keeps: a repair before this one did not come to its end.
	Superseded []string
	// Files are the names of all files of the log, without their directory.
	Files []string
	// Bytes is the length of all files.
	Bytes int64

	dir          string
	directory    [16]byte
	sequence     uint64 // of the newest file
	oldest       uint64 // of the oldest file that is needed
	end          int64  // behind all files
	checkpoint   uint64 // highest id seen
	checkpointAt int64  // position of the newest complete one; -1: none
	termMax      uint64 // of all appends
}

// SalvagedGroup is what could be read of one group.
type SalvagedGroup struct {
	ID      ident.GroupID
	Replica ident.ReplicaID
	// State and Low are of the newest checkpoint, nil if it lists no such group.
	State []byte
	Low   int64
	// Term, Vote and Commit are of the newest append.
	Term, Vote, Commit uint64
	// Entries ascend by index and may have gaps. Some may lie at or below the
	// index that State has applied.
	Entries []Entry

	entries  map[uint64]Entry
	last     uint64 // highest index known
	extended int    // number of the last record that followed what was known
	seen     int    // number of the last record
}

// TermAbove returns a term that no group ever had, whatever was lost: each start
// of a broker takes one more, and makes a file. known is the highest of those that
// states in the checkpoint say.
func (s *Salvaged) TermAbove(known uint64) uint64 {
	return max(s.termMax, known) + (s.sequence - s.oldest) + 2
}

// Doubt reports whether the group may have lost records behind the last one that
// was read of it.
func (s *Salvaged) Doubt(id ident.GroupID) bool {
	i := sort.Search(len(s.Groups), func(i int) bool { return s.Groups[i].ID >= id })
	var g *SalvagedGroup
	if i < len(s.Groups) && s.Groups[i].ID == id {
		g = s.Groups[i]
	}
	for i := range s.Holes {
		h := &s.Holes[i]
		switch {
		case !h.hits(id):
		case g == nil && h.To <= s.checkpointAt: // it would be listed
		case g != nil && g.extended > h.before: // what came next followed what was known
		case g != nil && g.State != nil && h.To <= g.Low:
		default:
			return true
		}
	}
	return false
}

func (h *Hole) hits(id ident.GroupID) bool {
	if h.Any {
		return true
	}
	for _, g := range h.Groups {
		if g == id {
			return true
		}
	}
	return false
}

// Salvage reads whatever can be read of the log and changes nothing. Where a
// write is damaged its other records are taken, since each has a checksum, the
// file's generation and its position. applied says up to which index a group's
// state in a checkpoint goes. If Open accepts the log, there are no holes. It
// blocks for as long as reading all files takes.
func Salvage(fs vfs.FS, set Settings, applied func(state []byte) uint64) (*Salvaged, error) {
	s := &salvage{fs: fs, set: set, applied: applied, groups: map[ident.GroupID]*SalvagedGroup{}, gone: map[Replica]bool{}, known: map[Replica]bool{}, unknown: map[uint64]string{},
		out: &Salvaged{dir: set.Dir, directory: set.Directory, checkpointAt: -1}}
	defer s.close()
	refused := Check(fs, set)
	if refused != nil && !errors.Is(refused, ErrCorrupt) {
		return nil, refused
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("salvage the write-ahead log: %w", err)
	}
	if err := s.walk(); err != nil {
		return nil, fmt.Errorf("salvage the write-ahead log: %w", err)
	}
	s.doubtNames()
	if s.judge(refused); refused != nil {
		s.looseStates()
	}
	s.result()
	return s.out, nil
}

// salvage is Salvage in progress.
type salvage struct {
	fs      vfs.FS
	set     Settings
	applied func([]byte) uint64
	out     *Salvaged
	files   []*salvaged
	next    map[int64]int // where a file's first write says the log went on -> that file
	begins  int64

	groups   map[ident.GroupID]*SalvagedGroup
	known    map[Replica]bool // whose records, or states in a checkpoint, were read
	gone     map[Replica]bool // since the first piece of the checkpoint being read
	pieces   []Piece
	loose    []Piece // of the newest checkpoint, unless that is complete
	from     int     // number of the first piece's record
	fromAt   int64
	low      int64 // of the newest complete checkpoint
	records  int
	end      int64 // of the last write that was read
	bad      []Hole
	stranger []Hole            // files that are not of this log
	unknown  map[uint64]string // files of which nothing can be told, by sequence
}

// salvaged is one file, with the headers of all writes in it.
type salvaged struct {
	found
	size  int64 // that can be read
	heads []headAt
}

type headAt struct {
	off  int64
	head writeHead
}

func (s *salvage) close() {
	for _, f := range s.files {
		f.file.Close()
	}
}

// load opens all files, by sequence, and reads their headers and those of their
// writes.
func (s *salvage) load() error {
	entries, err := s.fs.List(s.set.Dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		seq, ok := parseFileName(e.Name)
		if !ok {
			continue
		}
		s.out.Files = append(s.out.Files, e.Name)
		s.out.Bytes += e.Size
		s.out.sequence = max(s.out.sequence, seq)
		f, err := s.fs.Open(s.set.Dir + "/" + e.Name)
		if err != nil {
			return err
		}
		v := &salvaged{found: found{name: e.Name, file: f}, size: e.Size}
		keep, err := s.loadFile(v, seq)
		if err != nil || !keep {
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", e.Name, err)
		}
		if keep {
			s.files = append(s.files, v)
			s.out.end = max(s.out.end, v.head.base+v.head.size)
		}
	}
	s.supersede()
	return nil
}

// loadFile reads the header of a file, or finds out what it was, and reports
// whether the file belongs to the log.
func (s *salvage) loadFile(v *salvaged, seq uint64) (bool, error) {
	b := make([]byte, fileHeaderBytes)
	n, err := v.file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	b = b[:n]
	head, err := decodeFileHeader(b)
	name := s.set.Dir + "/" + v.name
	switch {
	case err == nil && (head.sequence != seq || head.directory != s.set.Directory):
		written, err := s.holdsWrite(v)
		if written {
			s.stranger = append(s.stranger, Hole{File: name, Reason: "the file is not of this log: its header has another sequence or data directory"})
		}
		return false, err
	case err != nil:
		reason := "the header of the file is damaged"
		ok := oneBit(b, 80, func() bool {
			head, err = decodeFileHeader(b)
			return err == nil && head.sequence == seq && head.directory == s.set.Directory
		})
		if !ok {
			if head, ok, err = s.guess(v, seq); err != nil {
				return false, err
			}
			if !ok {
				if written, err := s.holdsWrite(v); err != nil || !written {
					return false, err
				}
				s.unknown[seq] = v.name
				return false, nil
			}
			reason += "; it was made again from the writes in the file"
		}
		written, err := s.holdsWrite(v)
		if err != nil || !written {
			return false, err
		}
		s.bad = append(s.bad, Hole{File: name, From: head.base, To: head.base + fileHeaderBytes, Reason: reason})
	case v.size < head.size:
		s.bad = append(s.bad, Hole{File: name, Offset: v.size, From: head.base + v.size, To: head.base + head.size,
			Reason: fmt.Sprintf("the file has %d bytes, its header says %d", v.size, head.size)})
	}
	v.head = head
	v.size = min(v.size, head.size)
	return true, s.readHeads(v)
}

// guess makes the header of a file from what its writes say of themselves. Of
// several lives of one file the last one counts, and it lies behind the file
// before.
func (s *salvage) guess(v *salvaged, seq uint64) (fileHeader, bool, error) {
	h := fileHeader{sequence: seq, base: -1, size: v.size &^ (Block - 1), directory: s.set.Directory}
	var b [writeHeader]byte
	for off := int64(fileHeaderBytes); off < v.size; off += Block {
		ok, err := readWhole(v.file, b[:], off)
		if err != nil {
			return h, false, err
		}
		if !ok || !intactHead(b[:]) {
			continue
		}
		if base := int64(binary.LittleEndian.Uint64(b[16:])) - off; base > h.base && base%Block == 0 {
			h.base, h.generation = base, binary.LittleEndian.Uint64(b[8:])
		}
	}
	return h, h.base >= s.out.end && h.base >= 0 && h.size >= 2*Block && h.base+h.size > h.base, nil
}

// readHeads finds the header of every write in a file. One whose first bytes
// have a wrong bit is found too.
func (s *salvage) readHeads(v *salvaged) error {
	const chunk = 256 * Block
	buf := make([]byte, chunk)
	for at := int64(fileHeaderBytes); at < v.size; at += chunk {
		n := min(chunk, v.size-at)
		ok, err := readWhole(v.file, buf[:n], at)
		if err != nil || !ok {
			return err
		}
		for b := int64(0); b < n; b += Block {
			p := buf[b:min(b+writeHeader, n)]
			head, ok := decodeWriteHead(p, v.head.generation, v.head.base+at+b, v.head.size-at-b)
			if !ok && looksLikeHead(p, v.head.generation, v.head.base+at+b) {
				ok = oneBit(p, writeHeader, func() (good bool) {
					head, good = decodeWriteHead(p, v.head.generation, v.head.base+at+b, v.head.size-at-b)
					return good
				})
			}
			if ok && head.length > 0 {
				v.heads = append(v.heads, headAt{at + b, head})
			}
		}
	}
	return nil
}

// looksLikeHead reports whether a header with one wrong bit may stand in b.
func looksLikeHead(b []byte, generation uint64, position int64) bool {
	if len(b) < writeHeader {
		return false
	}
	var want [24]byte
	copy(want[:], writeMagic)
	le := binary.LittleEndian
	le.PutUint64(want[8:], generation)
	le.PutUint64(want[16:], uint64(position))
	copy(want[4:8], b[4:8])
	wrong := 0
	for i := range want {
		if b[i] != want[i] {
			wrong++
		}
	}
	return wrong <= 1
}

// supersede takes out the files that nothing needs: those that end at or below
// what the newest header says is needed.
func (s *salvage) supersede() {
	for seq, name := range s.unknown { // order: sorted below
		if len(s.files) > 0 {
			if low := s.files[len(s.files)-1].head; low.low == low.base && seq < low.sequence {
				s.out.Superseded = append(s.out.Superseded, name)
				continue
			}
		}
		s.bad = append(s.bad, Hole{File: s.set.Dir + "/" + name, To: s.out.end, Any: true,
			Reason: "the header of the file is damaged, and nothing tells which part of the log the file is"})
	}
	sort.Slice(s.bad, func(i, j int) bool { return s.bad[i].File < s.bad[j].File })
	sort.Strings(s.out.Superseded)
	if len(s.files) == 0 {
		return
	}
	low := s.files[len(s.files)-1].head.low
	kept := s.files[:0]
	for _, f := range s.files {
		if f.head.base+f.head.size > low {
			kept = append(kept, f)
			continue
		}
		f.file.Close()
		s.out.Superseded = append(s.out.Superseded, f.name)
		still := s.bad[:0]
		for _, h := range s.bad {
			if h.File != s.set.Dir+"/"+f.name {
				still = append(still, h)
			}
		}
		s.bad = still
	}
	s.files = kept
	s.out.oldest = s.files[0].head.sequence
}

// firstHead returns the header of a file's first write.
func (v *salvaged) firstHead() (writeHead, bool) {
	if len(v.heads) == 0 || v.heads[0].off != fileHeaderBytes {
		return writeHead{}, false
	}
	return v.heads[0].head, true
}

// at returns the header of the write at an offset, and the offset of the first
// one behind it, or -1.
func (v *salvaged) at(off int64) (head writeHead, ok bool, behind int64) {
	i := sort.Search(len(v.heads), func(i int) bool { return v.heads[i].off >= off })
	if i < len(v.heads) && v.heads[i].off == off {
		head, ok = v.heads[i].head, true
		i++
	}
	if i < len(v.heads) {
		return head, ok, v.heads[i].off
	}
	return head, ok, -1
}

// judge adds what no place in particular shows, and keeps nothing if Open finds
// no fault.
func (s *salvage) judge(refused error) {
	if refused == nil {
		s.out.Holes = nil
		return
	}
	for _, h := range s.bad {
		if h.Any {
			h.before = s.records
		}
		s.out.Holes = append(s.out.Holes, h)
	}
	s.out.Holes = append(s.out.Holes, s.stranger...)
	lost := false
	for i := range s.out.Holes {
		lost = lost || s.out.Holes[i].Any || len(s.out.Holes[i].Groups) > 0
	}
	promised := int64(0)
	for _, f := range s.files {
		promised = max(promised, f.head.low)
	}
	explained := len(s.out.Holes) > 0 || len(s.out.Superseded) > 0
	if explained && (lost || s.complete(promised)) {
		return
	}
	h := Hole{From: 0, To: s.out.end, Any: true, before: s.records, Reason: "a file or a checkpoint of the log is missing"}
	var d *Damage
	if errors.As(refused, &d) {
		h.File, h.Offset, h.Reason = d.File, d.Offset, d.Reason
	}
	s.out.Holes = append(s.out.Holes, h)
}

// complete reports whether neither the beginning of the log nor its newest
// checkpoint is missing.
func (s *salvage) complete(promised int64) bool {
	if s.out.checkpointAt < 0 {
		return promised == 0 && s.fromTheStart()
	}
	return s.low >= promised && (s.fromTheStart() || s.low >= s.begins)
}

func (s *salvage) fromTheStart() bool {
	if len(s.files) == 0 {
		return true
	}
	if s.begins < 0 {
		return s.files[0].head.base == 0
	}
	for _, f := range s.files {
		if s.begins == f.head.base+fileHeaderBytes {
			return true
		}
	}
	return false
}

// holdsWrite reports whether a file holds the header of a write of its last use.
func (s *salvage) holdsWrite(v *salvaged) (bool, error) {
	h, _, err := s.guess(v, 0)
	return h.base >= 0 && h.base+h.size > s.out.end, err
}

// readWhole fills b and reports whether the file was long enough.
func readWhole(f vfs.File, b []byte, off int64) (bool, error) {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return true, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, err
}

// zeros reports whether b holds nothing.
func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
