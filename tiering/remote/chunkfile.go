package remote

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

// A chunk's file is a header and the chunk (docs/format/cache-chunk.md). The
// header, little-endian:
//
//	 0  8  magic "VARVECHK"
//	 8  4  version, 1
//	12  4  CRC-32C of the header without this field
//	16 16  ChunkID.Object
//	32  8  ChunkID.Offset
//	40  4  length of the chunk
//	44  4  CRC-32C of the chunk
const (
	chunkMagic       = "VARVECHK"
	chunkVersion     = 1
	chunkHeaderBytes = 48
	chunkSuffix      = ".chunk"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errChunk: a file that is not the chunk that it should be.
var errChunk = errors.New("remote: not the chunk")

// appendChunkHeader adds the header of the file of a chunk.
func appendChunkHeader(b []byte, id ChunkID, data []byte) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = append(b, chunkMagic...)
	b = le.AppendUint32(b, chunkVersion)
	b = le.AppendUint32(b, 0)
	b = append(b, id.Object[:]...)
	b = le.AppendUint64(b, uint64(id.Offset))
	b = le.AppendUint32(b, uint32(len(data)))
	b = le.AppendUint32(b, crc32.Checksum(data, castagnoli))
	le.PutUint32(b[start+12:], chunkHeaderCRC(b[start:]))
	return b
}

func chunkHeaderCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:chunkHeaderBytes])
}

// checkChunkHeader tells whether b is the header of a chunk of n bytes, and
// returns the checksum of the data. It fails with errChunk.
func checkChunkHeader(b []byte, id ChunkID, n int) (crc uint32, err error) {
	le := binary.LittleEndian
	switch {
	case len(b) < chunkHeaderBytes || string(b[:8]) != chunkMagic:
		return 0, fmt.Errorf("%w: no header", errChunk)
	case le.Uint32(b[8:]) != chunkVersion:
		return 0, fmt.Errorf("%w: version %d", errChunk, le.Uint32(b[8:]))
	case le.Uint32(b[12:]) != chunkHeaderCRC(b):
		return 0, fmt.Errorf("%w: checksum of the header", errChunk)
	case [16]byte(b[16:32]) != id.Object || le.Uint64(b[32:]) != uint64(id.Offset) || uint64(le.Uint32(b[40:])) != uint64(n):
		return 0, fmt.Errorf("%w: another chunk", errChunk)
	}
	return le.Uint32(b[44:]), nil
}

// chunkName returns the name of the file of a chunk, without its directory.
func chunkName(id ChunkID) string {
	return fmt.Sprintf("%x-%016x%s", id.Object, id.Offset, chunkSuffix)
}

// parseChunkName reads what chunkName wrote.
func parseChunkName(name string) (id ChunkID, ok bool) {
	s, ok := strings.CutSuffix(name, chunkSuffix)
	if !ok || len(s) != 32+1+16 || s[32] != '-' {
		return id, false
	}
	object, err1 := hex.DecodeString(s[:32])
	off, err2 := strconv.ParseUint(s[33:], 16, 63)
	if err1 != nil || err2 != nil {
		return id, false
	}
	id = ChunkID{Object: [16]byte(object), Offset: int64(off)}
	return id, chunkName(id) == name
}

// readChunk fills into with the chunk of a file, verified. It fails with errChunk
// or with what the disk said.
func readChunk(fs vfs.FS, name string, id ChunkID, into []byte) (err error) {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var header [chunkHeaderBytes]byte
	if err := readFull(f, header[:], 0); err != nil {
		return err
	}
	crc, err := checkChunkHeader(header[:], id, len(into))
	if err != nil {
		return err
	}
	if err := readFull(f, into, chunkHeaderBytes); err != nil {
		return err
	}
	if crc32.Checksum(into, castagnoli) != crc {
		return fmt.Errorf("%w: checksum", errChunk)
	}
	return nil
}

func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return fmt.Errorf("%w: it ends early", errChunk)
	}
	return err
}

// writeChunk makes the file of a chunk, in place of one that is there. It is not
// synced: a crash may leave anything, which readChunk refuses. If it fails there
// is no file, as far as the disk allows.
func writeChunk(fs vfs.FS, name string, id ChunkID, data []byte) error {
	f, err := fs.Create(name)
	if errors.Is(err, vfs.ErrExist) {
		if err = fs.Remove(name); err == nil || errors.Is(err, vfs.ErrNotExist) {
			f, err = fs.Create(name)
		}
	}
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, chunkHeaderBytes); err == nil {
		_, err = f.WriteAt(appendChunkHeader(nil, id, data), 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fs.Remove(name))
	}
	return nil
}
