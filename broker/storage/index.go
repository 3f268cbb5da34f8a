package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/varvelog/varve/internal/ident"
)

// The index file; docs/format/segment.md describes it.
const (
	indexMagic        = "VARVEIDX"
	indexVersion      = 1
	indexHeaderSize   = 32
	indexBlockSize    = 8 // header of a block
	indexEntrySize    = 16
	indexBlockEntries = 1 << 16
	indexFooterMark   = 0xffffffff
	indexFooterSize   = 56
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// indexEntry says where a batch lies in its segment.
type indexEntry struct {
	relative uint32 // base offset of the batch - base offset of the segment
	position uint32 // byte in the segment
	maxTime  int64  // maximum timestamp in the segment up to and with this batch
}

// footer closes the index of a sealed segment.
type footer struct {
	base      ident.Offset
	end       ident.Offset // base offset of the next segment
	bytes     int64        // length of the segment
	maxTime   int64
	maxTimeAt ident.Offset // base offset of the first batch with maxTime
	firstTime int64        // maximum timestamp of the first batch
}

// maxIndexBytes bounds the index of a segment of so many bytes, even with one
// entry and one block for every batch.
func maxIndexBytes(segmentBytes int64) int64 {
	return indexHeaderSize + indexFooterSize + (segmentBytes/batchHeaderSize+1)*(indexBlockSize+indexEntrySize)
}

// indexBlocksSize returns how many bytes appendBlocks writes for n entries.
func indexBlocksSize(n int) int {
	blocks := (n + indexBlockEntries - 1) / indexBlockEntries
	return blocks*indexBlockSize + n*indexEntrySize
}

func appendIndexHeader(dst []byte, base ident.Offset) []byte {
	at := len(dst)
	dst = append(dst, indexMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, indexVersion)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(base))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// appendBlocks adds the entries in as few blocks as they need.
func appendBlocks(dst []byte, entries []indexEntry) []byte {
	for len(entries) > 0 {
		n := min(len(entries), indexBlockEntries)
		at := len(dst)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		dst = binary.LittleEndian.AppendUint32(dst, 0)
		for _, e := range entries[:n] {
			dst = binary.LittleEndian.AppendUint32(dst, e.relative)
			dst = binary.LittleEndian.AppendUint32(dst, e.position)
			dst = binary.LittleEndian.AppendUint64(dst, uint64(e.maxTime))
		}
		binary.LittleEndian.PutUint32(dst[at+4:], blockCRC(dst[at:]))
		entries = entries[n:]
	}
	return dst
}

func appendFooter(dst []byte, f footer) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, indexFooterMark)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	for _, v := range [...]int64{int64(f.base), int64(f.end), f.bytes, f.maxTime, int64(f.maxTimeAt), f.firstTime} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	binary.LittleEndian.PutUint32(dst[at+4:], blockCRC(dst[at:]))
	return dst
}

// blockCRC covers a block but for the place of the CRC itself.
func blockCRC(block []byte) uint32 {
	return crc32.Update(crc32.Checksum(block[:4], castagnoli), castagnoli, block[indexBlockSize:])
}

// checkIndexHeader fails with ErrIndex unless b starts with the header of the
// index of the segment at base.
func checkIndexHeader(b []byte, base ident.Offset) error {
	switch {
	case len(b) < indexHeaderSize:
		return fmt.Errorf("%w: %d bytes", ErrIndex, len(b))
	case string(b[:8]) != indexMagic:
		return fmt.Errorf("%w: magic", ErrIndex)
	case binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli):
		return fmt.Errorf("%w: header checksum", ErrIndex)
	case binary.LittleEndian.Uint32(b[8:]) != indexVersion:
		return fmt.Errorf("%w: version %d, this broker reads %d", ErrIndex, binary.LittleEndian.Uint32(b[8:]), indexVersion)
	case ident.Offset(binary.LittleEndian.Uint64(b[16:])) != base:
		return fmt.Errorf("%w: base offset %d", ErrIndex, binary.LittleEndian.Uint64(b[16:]))
	}
	return nil
}

// parseBlocks appends the entries of the blocks in b to entries. It stops at a
// footer, which must be the last thing in b. It fails with ErrIndex if a block
// is damaged or entries do not ascend.
func parseBlocks(entries []indexEntry, b []byte) ([]indexEntry, *footer, error) {
	for len(b) > 0 {
		if len(b) < indexBlockSize {
			return nil, nil, fmt.Errorf("%w: %d bytes behind the last block", ErrIndex, len(b))
		}
		n := binary.LittleEndian.Uint32(b)
		if n == indexFooterMark {
			f, err := parseFooter(b)
			return entries, f, err
		}
		size := indexBlockSize + int64(n)*indexEntrySize
		if n == 0 || n > indexBlockEntries || size > int64(len(b)) {
			return nil, nil, fmt.Errorf("%w: block of %d entries in %d bytes", ErrIndex, n, len(b))
		}
		block := b[:size]
		if binary.LittleEndian.Uint32(block[4:]) != blockCRC(block) {
			return nil, nil, fmt.Errorf("%w: block checksum", ErrIndex)
		}
		for e := block[indexBlockSize:]; len(e) > 0; e = e[indexEntrySize:] {
			next := indexEntry{
				relative: binary.LittleEndian.Uint32(e),
				position: binary.LittleEndian.Uint32(e[4:]),
				maxTime:  int64(binary.LittleEndian.Uint64(e[8:])),
			}
			if k := len(entries); k > 0 && !entries[k-1].before(next) {
				return nil, nil, fmt.Errorf("%w: entries do not ascend", ErrIndex)
			}
			entries = append(entries, next)
		}
		b = b[size:]
	}
	return entries, nil, nil
}

func (e indexEntry) before(next indexEntry) bool {
	return e.relative < next.relative && e.position < next.position && e.maxTime <= next.maxTime
}

// parseFooter reads a footer that is all of b.
func parseFooter(b []byte) (*footer, error) {
	if len(b) != indexFooterSize || binary.LittleEndian.Uint32(b) != indexFooterMark {
		return nil, fmt.Errorf("%w: no footer", ErrIndex)
	}
	if binary.LittleEndian.Uint32(b[4:]) != blockCRC(b) {
		return nil, fmt.Errorf("%w: footer checksum", ErrIndex)
	}
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[indexBlockSize+8*i:])) }
	f := &footer{
		base: ident.Offset(at(0)), end: ident.Offset(at(1)), bytes: at(2),
		maxTime: at(3), maxTimeAt: ident.Offset(at(4)), firstTime: at(5),
	}
	if f.base < 0 || f.end < f.base || f.bytes < 0 || f.bytes > maxSegmentBytes+maxBatchBytes {
		return nil, fmt.Errorf("%w: footer %+v", ErrIndex, *f)
	}
	return f, nil
}

// parseIndex reads a whole index file, header, blocks and the footer if there
// is one. It fails with ErrIndex.
func parseIndex(b []byte, base ident.Offset) ([]indexEntry, *footer, error) {
	if err := checkIndexHeader(b, base); err != nil {
		return nil, nil, err
	}
	b = b[indexHeaderSize:]
	return parseBlocks(make([]indexEntry, 0, len(b)/indexEntrySize), b)
}

// IndexedBatches reads a whole index file of the segment at base: the base offset
// of each batch that it names, by its position in the segment. Every other batch
// begins where the one before it ended. It fails with ErrIndex if the file is
// damaged, or of another version.
func IndexedBatches(index []byte, base ident.Offset) (map[int64]ident.Offset, error) {
	entries, _, err := parseIndex(index, base)
	if err != nil {
		return nil, err
	}
	named := make(map[int64]ident.Offset, len(entries))
	for _, e := range entries {
		named[int64(e.position)] = base + ident.Offset(e.relative)
	}
	return named, nil
}

// floorEntry returns the position of the last entry whose batch starts at or
// below the relative offset, else 0.
func floorEntry(entries []indexEntry, relative int64) int64 {
	i := sort.Search(len(entries), func(i int) bool { return int64(entries[i].relative) > relative })
	if i == 0 {
		return 0
	}
	return int64(entries[i-1].position)
}

// timeEntry returns a position at or before the first batch whose maximum
// timestamp is at least ts.
func timeEntry(entries []indexEntry, ts int64) int64 {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].maxTime >= ts })
	if i == 0 {
		return 0
	}
	return int64(entries[i-1].position)
}
