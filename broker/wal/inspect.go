package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// What tools need to read a file of the log. docs/format/wal.md describes it.
const (
	// FileHeaderBytes is how much of a file its header takes.
	FileHeaderBytes = fileHeaderBytes
	// WriteHeaderBytes is the length of the header of a write.
	WriteHeaderBytes = writeHeader
	// FileMagic begins a file, and WriteMagic the header of a write.
	FileMagic  = fileMagic
	WriteMagic = writeMagic
	// Suffix ends the names of files of the log.
	Suffix = ".wal"
)

// ErrRecord: bytes that are no whole record of the place that they are at.
var ErrRecord = errors.New("wal: bad record")

// FileInfo is what the header of a file says. Base and Low are log positions,
// Bytes is the allocated length.
type FileInfo struct {
	Version              uint32
	Sequence, Generation uint64
	Base, Bytes, Low     int64
	Directory            [16]byte
}

// WriteInfo is what the header of a write says. Previous and Durable are log
// positions, Bytes is what the write takes with header and padding, Length what
// its records take.
type WriteInfo struct {
	Position, Previous, Durable int64
	Bytes, Length               int64
	Records                     uint32
}

// ParseFile reads a file's header, which must hold FileHeaderBytes bytes. It
// does not know the file's name, size and data directory.
func ParseFile(b []byte) (FileInfo, error) {
	if len(b) < fileHeaderBytes {
		return FileInfo{}, fmt.Errorf("%w: %d bytes", errHeader, len(b))
	}
	h, err := decodeFileHeader(b)
	if err != nil && binary.LittleEndian.Uint32(b[12:]) != headerCRC(b) {
		return FileInfo{}, err // not even the version can be believed
	}
	return FileInfo{Version: binary.LittleEndian.Uint32(b[8:]), Sequence: h.sequence, Generation: h.generation, Base: h.base, Bytes: h.size, Low: h.low, Directory: h.directory}, err
}

// ParseWrite reads the header of the write at an offset of the file, from the
// front of b. It reports whether there is one of this file and place.
func (f FileInfo) ParseWrite(b []byte, at int64) (WriteInfo, bool) {
	h, ok := decodeWriteHead(b, f.Generation, f.Base+at, f.Bytes-at)
	return WriteInfo{Position: h.position, Previous: h.previous, Durable: h.durable, Bytes: h.extent(), Length: int64(h.length), Records: h.count}, ok && h.length > 0
}

// ParseRecord reads the record at an offset of the file, from the front of b,
// and returns its length. The record aliases b. It fails with ErrRecord if there
// is no whole one; an error with a length is one of a record that is whole and
// makes no sense.
func (f FileInfo) ParseRecord(b []byte, at int64) (Record, int64, error) {
	n, ok := recordAt(b, f.Generation, f.Base+at)
	if !ok {
		return Record{}, 0, ErrRecord
	}
	r, err := decodeRecord(b[:n])
	return r, int64(n), err
}

// Parts returns where the entries of an append, or the groups of a piece of a
// checkpoint, begin in the record's bytes.
func (r *Record) Parts() []int64 {
	var out []int64
	switch r.Kind {
	case KindAppend:
		at := int64(recordHeader + appendHeader)
		for i := range r.Append.Entries {
			out = append(out, at)
			at += entryHeader + int64(len(r.Append.Entries[i].Data))
		}
	case KindCheckpoint:
		at := int64(recordHeader + pieceHeader)
		for i := range r.Piece.Groups {
			out = append(out, at)
			at += groupHeader + int64(len(r.Piece.Groups[i].State))
		}
	}
	return out
}

// Check reads the log as Open does and changes nothing: it fails with what Open
// would fail with, ErrCorrupt above all. A directory that does not exist is an
// empty log. It blocks.
func Check(fs vfs.FS, s Settings) error {
	r := &recovery{fs: fs, s: s, groups: map[ident.GroupID]*Group{}, gone: map[Replica]bool{}, destroyed: map[Replica]bool{}}
	defer r.close()
	err := r.run()
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	return err
}

// oneBit calls good with b while one bit of its first n bytes is flipped, until
// it says yes, and leaves b so. Checksums of so few bytes, together with a
// generation and a position, cannot be right by chance.
func oneBit(b []byte, n int, good func() bool) bool {
	for i := range min(n, len(b)) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if good() {
			return true
		}
		b[i/8] ^= 1 << (i % 8)
	}
	return false
}
