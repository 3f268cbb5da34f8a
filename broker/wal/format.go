package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

const (
	// Block is the unit of alignment: no two writes share one.
	Block = 4096
	// WriteBytesMax bounds one group commit, unless a single record is larger:
	// beyond 1 MiB a larger write gains nothing, beyond 4 MiB it only adds
	// latency (docs: engine measurements in DESIGN D2).
	WriteBytesMax = 4 << 20

	version         = 1
	fileHeaderBytes = Block
	writeHeader     = 64
	recordHeader    = 48
	entryHeader     = 8 + 8 + 1 + 4 // index, term, type, length
	appendHeader    = 8 + 8 + 8 + 4 // term, vote, commit, count
)

const (
	fileMagic  = "VARVEWAL"
	writeMagic = "VWRT"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind says what a record holds.
type Kind uint8

// The kinds of records.
const (
	KindAppend     Kind = 1 // one Raft storage append
	KindCheckpoint Kind = 2 // one piece of a checkpoint
	KindGone       Kind = 3 // the replica was destroyed
	KindProof      Kind = 4 // nothing: its write proves that all before it is durable
)

// Entry is one Raft entry as the log stores it. Data is borrowed until the
// record is released, and never changed.
type Entry struct {
	Index, Term uint64
	Type        uint8
	Data        []byte
}

// Append is the body of a KindAppend record: a group's hard state, and entries
// that replace whatever it held from the first one's index on.
type Append struct {
	Term, Vote, Commit uint64
	Entries            []Entry
}

// Record is one unit of the log.
type Record struct {
	Group   ident.GroupID
	Replica ident.ReplicaID
	Kind    Kind
	Append  Append // KindAppend
	Piece   Piece  // KindCheckpoint
}

// Piece is the body of a KindCheckpoint record.
type Piece struct {
	ID     uint64 // of the checkpoint
	Number uint32 // 0, 1, ...
	Last   bool
	Groups []GroupState
}

// GroupState is one group's part of a checkpoint. State is opaque to this
// package except for Low.
type GroupState struct {
	Group   ident.GroupID
	Replica ident.ReplicaID
	Low     int64 // position of the oldest record that recovery of the group needs
	State   []byte
}

const (
	pieceHeader = 8 + 4 + 1 + 4
	groupHeader = 8 + 8 + 8 + 4
)

// errDecode is a record whose CRC holds and whose body makes no sense.
var errDecode = errors.New("wal: record does not decode")

// size returns the record's length on disk with its header.
func (r *Record) size() int64 {
	n := int64(recordHeader)
	switch r.Kind {
	case KindAppend:
		n += appendHeader
		for i := range r.Append.Entries {
			n += entryHeader + int64(len(r.Append.Entries[i].Data))
		}
	case KindCheckpoint:
		n += pieceHeader
		for i := range r.Piece.Groups {
			n += groupHeader + int64(len(r.Piece.Groups[i].State))
		}
	}
	return n
}

// encode appends the record to dst. position is that of its first byte.
func (r *Record) encode(dst []byte, generation uint64, position int64) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, generation)
	dst = le.AppendUint64(dst, uint64(position))
	dst = le.AppendUint64(dst, uint64(r.Group))
	dst = le.AppendUint64(dst, uint64(r.Replica))
	dst = append(dst, byte(r.Kind), 0, 0, 0, 0, 0, 0, 0)
	switch r.Kind {
	case KindAppend:
		a := &r.Append
		dst = le.AppendUint64(dst, a.Term)
		dst = le.AppendUint64(dst, a.Vote)
		dst = le.AppendUint64(dst, a.Commit)
		dst = le.AppendUint32(dst, uint32(len(a.Entries)))
		for i := range a.Entries {
			e := &a.Entries[i]
			dst = le.AppendUint64(dst, e.Index)
			dst = le.AppendUint64(dst, e.Term)
			dst = append(dst, e.Type)
			dst = le.AppendUint32(dst, uint32(len(e.Data)))
			dst = append(dst, e.Data...)
		}
	case KindCheckpoint:
		p := &r.Piece
		dst = le.AppendUint64(dst, p.ID)
		dst = le.AppendUint32(dst, p.Number)
		dst = append(dst, boolByte(p.Last))
		dst = le.AppendUint32(dst, uint32(len(p.Groups)))
		for i := range p.Groups {
			g := &p.Groups[i]
			dst = le.AppendUint64(dst, uint64(g.Group))
			dst = le.AppendUint64(dst, uint64(g.Replica))
			dst = le.AppendUint64(dst, uint64(g.Low))
			dst = le.AppendUint32(dst, uint32(len(g.State)))
			dst = append(dst, g.State...)
		}
	}
	le.PutUint32(dst[start+4:], uint32(len(dst)-start-recordHeader))
	le.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], castagnoli))
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// recordAt checks the record at the front of b and returns its whole length.
// It decodes nothing but the header.
func recordAt(b []byte, generation uint64, position int64) (int, bool) {
	if len(b) < recordHeader {
		return 0, false
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(b[4:])) + recordHeader
	if n > int64(len(b)) || le.Uint64(b[8:]) != generation || int64(le.Uint64(b[16:])) != position {
		return 0, false
	}
	if crc32.Checksum(b[4:n], castagnoli) != le.Uint32(b) {
		return 0, false
	}
	return int(n), true
}

// decodeRecord reads a record that recordAt accepted. Data and State alias b.
func decodeRecord(b []byte) (Record, error) {
	le := binary.LittleEndian
	r := Record{
		Group:   ident.GroupID(le.Uint64(b[24:])),
		Replica: ident.ReplicaID(le.Uint64(b[32:])),
		Kind:    Kind(b[40]),
	}
	body := b[recordHeader:]
	var err error
	if !bytes.Equal(b[41:recordHeader], make([]byte, recordHeader-41)) {
		return r, fmt.Errorf("%w: reserved bytes are set", errDecode)
	}
	switch r.Kind {
	case KindAppend:
		r.Append, err = decodeAppend(body)
	case KindCheckpoint:
		r.Piece, err = decodePiece(body)
	case KindGone, KindProof:
		if len(body) != 0 {
			err = errDecode
		}
	default:
		err = fmt.Errorf("%w: unknown kind %d", errDecode, b[40])
	}
	return r, err
}

func decodeAppend(b []byte) (Append, error) {
	var a Append
	if len(b) < appendHeader {
		return a, errDecode
	}
	le := binary.LittleEndian
	a.Term, a.Vote, a.Commit = le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
	count := int(le.Uint32(b[24:]))
	b = b[appendHeader:]
	if count > len(b)/entryHeader {
		return a, errDecode
	}
	if count > 0 {
		a.Entries = make([]Entry, 0, count)
	}
	for range count {
		if len(b) < entryHeader {
			return a, errDecode
		}
		e := Entry{Index: le.Uint64(b), Term: le.Uint64(b[8:]), Type: b[16]}
		n := int64(le.Uint32(b[17:]))
		b = b[entryHeader:]
		if n > int64(len(b)) {
			return a, errDecode
		}
		if n > 0 {
			e.Data = b[:n:n]
		}
		b = b[n:]
		if k := len(a.Entries); k > 0 && e.Index != a.Entries[k-1].Index+1 {
			return a, fmt.Errorf("%w: entry %d follows %d", errDecode, e.Index, a.Entries[k-1].Index)
		}
		a.Entries = append(a.Entries, e)
	}
	if len(b) != 0 {
		return a, errDecode
	}
	return a, nil
}

func decodePiece(b []byte) (Piece, error) {
	var p Piece
	if len(b) < pieceHeader {
		return p, errDecode
	}
	le := binary.LittleEndian
	p.ID, p.Number, p.Last = le.Uint64(b), le.Uint32(b[8:]), b[12] == 1
	if b[12] > 1 {
		return p, errDecode
	}
	count := int(le.Uint32(b[13:]))
	b = b[pieceHeader:]
	if count > len(b)/groupHeader {
		return p, errDecode
	}
	p.Groups = make([]GroupState, 0, count)
	for range count {
		if len(b) < groupHeader {
			return p, errDecode
		}
		g := GroupState{
			Group:   ident.GroupID(le.Uint64(b)),
			Replica: ident.ReplicaID(le.Uint64(b[8:])),
			Low:     int64(le.Uint64(b[16:])),
		}
		n := int64(le.Uint32(b[24:]))
		b = b[groupHeader:]
		if n > int64(len(b)) {
			return p, errDecode
		}
		g.State, b = b[:n:n], b[n:]
		p.Groups = append(p.Groups, g)
	}
	if len(b) != 0 {
		return p, errDecode
	}
	return p, nil
}

// fileHeader is the first block of a file.
type fileHeader struct {
	sequence, generation uint64
	base, size, low      int64
	directory            [16]byte
}

// encode returns the block, aligned in memory for direct I/O.
func (h *fileHeader) encode() []byte {
	b := vfs.AlignedBuffer(fileHeaderBytes)
	le := binary.LittleEndian
	copy(b, fileMagic)
	le.PutUint32(b[8:], version)
	le.PutUint64(b[16:], h.sequence)
	le.PutUint64(b[24:], h.generation)
	le.PutUint64(b[32:], uint64(h.base))
	le.PutUint64(b[40:], uint64(h.size))
	le.PutUint64(b[48:], uint64(h.low))
	copy(b[56:72], h.directory[:])
	le.PutUint32(b[12:], headerCRC(b))
	return b
}

func headerCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:80])
}

var errHeader = errors.New("wal: bad file header")

func decodeFileHeader(b []byte) (fileHeader, error) {
	var h fileHeader
	le := binary.LittleEndian
	if len(b) < 80 || string(b[:8]) != fileMagic || le.Uint32(b[12:]) != headerCRC(b) {
		return h, errHeader
	}
	if v := le.Uint32(b[8:]); v != version {
		return h, fmt.Errorf("%w: version %d, this broker reads %d", errHeader, v, version)
	}
	h.sequence, h.generation = le.Uint64(b[16:]), le.Uint64(b[24:])
	h.base, h.size, h.low = int64(le.Uint64(b[32:])), int64(le.Uint64(b[40:])), int64(le.Uint64(b[48:]))
	copy(h.directory[:], b[56:72])
	if h.base < 0 || h.size < 2*Block || h.size%Block != 0 || h.base+h.size < h.base {
		return h, errHeader
	}
	return h, nil
}

// writeHead is the header of one write.
type writeHead struct {
	generation                  uint64
	position, previous, durable int64
	length, count               uint32
}

func (h *writeHead) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:writeHeader])
	copy(b, writeMagic)
	le.PutUint64(b[8:], h.generation)
	le.PutUint64(b[16:], uint64(h.position))
	le.PutUint64(b[24:], uint64(h.previous))
	le.PutUint64(b[32:], uint64(h.durable))
	le.PutUint32(b[40:], h.length)
	le.PutUint32(b[44:], h.count)
	le.PutUint32(b[4:], crc32.Checksum(b[8:writeHeader], castagnoli))
}

// intactHead reports whether b begins with a write header whose CRC holds.
func intactHead(b []byte) bool {
	return len(b) >= writeHeader && string(b[:4]) == writeMagic &&
		binary.LittleEndian.Uint32(b[4:]) == crc32.Checksum(b[8:writeHeader], castagnoli)
}

// decodeWriteHead reads the header at the front of b if it is one of this file
// and position, and fits into room bytes.
func decodeWriteHead(b []byte, generation uint64, position, room int64) (writeHead, bool) {
	var h writeHead
	le := binary.LittleEndian
	if !intactHead(b) {
		return h, false
	}
	h.generation = le.Uint64(b[8:])
	h.position, h.previous, h.durable = int64(le.Uint64(b[16:])), int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	h.length, h.count = le.Uint32(b[40:]), le.Uint32(b[44:])
	ok := h.generation == generation && h.position == position && h.extent() <= room &&
		0 <= h.previous && h.previous <= position && 0 <= h.durable && h.durable <= position
	return h, ok
}

// extent returns the bytes that the write takes with header and padding.
func (h *writeHead) extent() int64 { return align(writeHeader + int64(h.length)) }

func align(n int64) int64 { return (n + Block - 1) &^ (Block - 1) }
