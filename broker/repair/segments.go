package repair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// Files of a partition; docs/format/segment.md describes them.
const (
	dataSuffix  = ".log"
	indexSuffix = ".index"
	footerBytes = 56
)

// dirFile is a segment of a replica's directory.
type dirFile struct {
	base        ident.Offset
	name        string // of the data file
	size        int64  // -1: there is no data file
	index       int64  // length of the index file, -1: none
	footed      bool   // the index has a footer
	footerBytes int64  // length of the data, as the footer has it
	footerEnd   ident.Offset
}

func segmentName(dir string, base ident.Offset, suffix string) string {
	return path.Join(dir, fmt.Sprintf("%020d%s", base, suffix))
}

// listSegments reads a replica's directory, by base offset. One that does not
// exist is empty.
func listSegments(fs vfs.FS, dir string) ([]dirFile, error) {
	entries, err := fs.List(dir)
	if errors.Is(err, vfs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	byBase := map[ident.Offset]*dirFile{}
	for _, e := range entries {
		stem, suffix := e.Name, ""
		for _, s := range []string{dataSuffix, indexSuffix} {
			if b, ok := strings.CutSuffix(e.Name, s); ok {
				stem, suffix = b, s
			}
		}
		base, err := strconv.ParseUint(stem, 10, 63)
		if suffix == "" || err != nil || len(stem) != 20 || e.Dir {
			continue
		}
		f := byBase[ident.Offset(base)]
		if f == nil {
			f = &dirFile{base: ident.Offset(base), name: segmentName(dir, ident.Offset(base), dataSuffix), size: -1, index: -1}
			byBase[f.base] = f
		}
		if suffix == dataSuffix {
			f.size = e.Size
		} else {
			f.index = e.Size
		}
	}
	out := make([]dirFile, 0, len(byBase))
	for _, f := range byBase { // order: sorted below
		out = append(out, *f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].base < out[j].base })
	for i := range out {
		if err := out[i].readFooter(fs, dir); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *dirFile) readFooter(fs vfs.FS, dir string) error {
	if f.index < footerBytes {
		return nil
	}
	file, err := fs.Open(segmentName(dir, f.base, indexSuffix))
	if err != nil {
		return err
	}
	defer file.Close()
	var b [footerBytes]byte
	if _, err := file.ReadAt(b[:], f.index-footerBytes); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	le := binary.LittleEndian
	sum := crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[8:])
	if le.Uint32(b[:]) == 0xffffffff && le.Uint32(b[4:]) == sum && ident.Offset(le.Uint64(b[8:])) == f.base {
		f.footed, f.footerEnd, f.footerBytes = true, ident.Offset(le.Uint64(b[16:])), int64(le.Uint64(b[24:]))
	}
	return nil
}

// batchAt is a batch of a segment file that is whole.
type batchAt struct {
	pos    int64
	header record.Header
	mended bool // a wrong bit was put right
	// fixed is the header of the batch as it should be, if mended, and flip a bit
	// behind it that is wrong, counted from the beginning of the batch; 0: none.
	fixed []byte
	flip  int64
}

// fix puts right what is wrong in the bytes of the batch.
func (b *batchAt) fix(batch []byte) {
	copy(batch, b.fixed)
	if b.flip > 0 {
		batch[b.flip/8] ^= 1 << (b.flip % 8)
	}
}

// gap is a place in a segment file that holds no whole batch. Offsets from first
// on and below end are lost there.
type gap struct {
	pos, to    int64
	first, end ident.Offset
	reason     string
}

// segmentScan is what a segment file holds.
type segmentScan struct {
	batches []batchAt
	gaps    []gap
	bytes   int64 // up to which it was read
	end     ident.Offset
}

func (s *segmentScan) damaged() bool {
	if len(s.gaps) > 0 {
		return true
	}
	for i := range s.batches {
		if s.batches[i].mended {
			return true
		}
	}
	return false
}

// bytesKept is the length of the batches that are whole.
func (s *segmentScan) bytesKept() int64 {
	var n int64
	for i := range s.batches {
		n += int64(s.batches[i].header.Size())
	}
	return n
}

// scanner walks over the batches of a segment file, damaged or not.
type scanner struct {
	file  io.ReaderAt
	at    int64 // where that begins in the segment's file
	limit int64 // bytes to be read
	floor ident.Offset
	ceil  ident.Offset // where the segment ends, -1: not known
	open  bool         // what begins with no batch is the end
	// names and epochs say where batches belong; nil: that is not known.
	names  map[int64]ident.Offset
	epochs []epochStart
	known  int64 // where a batch lies whose base offset is known
	sure   bool  // the next batch begins at the floor, unless names has it
	buf    []byte
	out    segmentScan
}

// scan reads the file to its limit. Batches must lie in [floor, ceil).
func (s *scanner) scan() (segmentScan, error) {
	for pos := int64(0); pos < s.limit; {
		b, ok, err := s.batch(pos)
		if err != nil {
			return s.out, err
		}
		if ok {
			s.take(b)
			pos += int64(b.header.Size())
			continue
		}
		if s.open {
			break
		}
		next, err := s.resync(pos + 1)
		if err != nil {
			return s.out, err
		}
		s.out.gaps = append(s.out.gaps, gap{pos: pos, to: next, first: s.floor, end: -1, reason: "no whole batch"})
		s.sure = false
		s.out.bytes = next
		pos = next
	}
	s.closeGap(s.ceil)
	s.out.end = s.floor
	return s.out, nil
}

func (s *scanner) take(b batchAt) {
	s.closeGap(ident.Offset(b.header.BaseOffset))
	s.out.batches = append(s.out.batches, b)
	s.floor, s.sure = ident.Offset(b.header.LastOffset())+1, true
	s.out.bytes = b.pos + int64(b.header.Size())
}

// closeGap notes where the offsets of the last gap end.
func (s *scanner) closeGap(end ident.Offset) {
	if n := len(s.out.gaps); n > 0 && s.out.gaps[n-1].end < 0 && end >= 0 {
		s.out.gaps[n-1].end = end
	}
}

// read fills the first n bytes of the buffer from a position.
func (s *scanner) read(pos, n int64) ([]byte, bool, error) {
	if n > s.limit-pos {
		return nil, false, nil
	}
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	b := s.buf[:n]
	k, err := s.file.ReadAt(b, pos)
	if k == len(b) {
		return b, true, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil, false, nil
	}
	return nil, false, err
}

// sumFrom is where the bytes begin that a batch's checksum covers.
const sumFrom = 21

// batch reads the batch at a position. If only one bit of it is wrong, that is
// put right.
func (s *scanner) batch(pos int64) (batchAt, bool, error) {
	head, ok, err := s.read(pos, record.HeaderSize)
	if err != nil || !ok {
		return batchAt{}, false, err
	}
	stored := [record.HeaderSize]byte(head)
	own := stored
	moved := s.place(pos, own[:])
	if h, ok, err := s.whole(pos, own[:], 0); ok || err != nil {
		b := batchAt{pos: pos, header: h, mended: moved}
		if moved {
			b.fixed = own[:]
		}
		return b, ok, err
	}
	if b, ok, err := s.flipped(pos, stored); ok || err != nil {
		return b, ok, err
	}
	for i := range sumFrom * 8 { // base offset, length, leader epoch, magic, checksum
		if i/8 >= 12 && i/8 < 16 {
			continue // place put it right, if it is known
		}
		own[i/8] ^= 1 << (i % 8)
		h, ok, err := s.whole(pos, own[:], 0)
		if err != nil {
			return batchAt{}, false, err
		}
		// Of base offsets that fit, only the one that leaves no hole is sure.
		if ok && (i/8 >= 8 || ident.Offset(h.BaseOffset) == s.floor) {
			return batchAt{pos: pos, header: h, mended: true, fixed: append([]byte(nil), own[:]...)}, true, nil
		}
		own[i/8] ^= 1 << (i % 8)
	}
	return batchAt{}, false, nil
}

// flipped reads a batch of which one bit is wrong that its checksum covers.
func (s *scanner) flipped(pos int64, head [record.HeaderSize]byte) (batchAt, bool, error) {
	size := int64(binary.BigEndian.Uint32(head[8:])) + 12
	if head[16] != record.Magic || size < record.HeaderSize {
		return batchAt{}, false, nil
	}
	b, ok, err := s.read(pos, size)
	if err != nil || !ok {
		return batchAt{}, false, err
	}
	bit, ok := wal.FlippedBit(b[sumFrom:], s.at+pos+sumFrom, binary.BigEndian.Uint32(head[17:]))
	if !ok || bit < 0 || mutant.On(mutant.RepairNamesLess) {
		return batchAt{}, false, nil
	}
	if bit += sumFrom * 8; bit < record.HeaderSize*8 {
		head[bit/8] ^= 1 << (bit % 8)
		bit = 0
	}
	// Only now its last offset is right, which says what leader epoch it has.
	s.place(pos, head[:])
	h, ok, err := s.whole(pos, head[:], bit)
	return batchAt{pos: pos, header: h, mended: true, fixed: head[:], flip: bit}, ok, err
}

// whole reports whether a whole batch lies at a position if its header is that,
// and another bit of it is changed unless that is 0.
func (s *scanner) whole(pos int64, header []byte, flip int64) (record.Header, bool, error) {
	h, err := record.ParseHeader(header)
	if err != nil || int64(h.Size()) > s.limit-pos {
		return h, false, nil
	}
	base, last := ident.Offset(h.BaseOffset), ident.Offset(h.LastOffset())
	if base < s.floor || h.LastOffsetDelta < 0 || last < base || s.ceil >= 0 && last >= s.ceil {
		return h, false, nil
	}
	b, ok, err := s.read(pos, int64(h.Size()))
	if err != nil || !ok {
		return h, false, err
	}
	(&batchAt{fixed: header, flip: flip}).fix(b)
	if !record.VerifyCRC(b) {
		return h, false, nil
	}
	if s.names != nil && s.known == pos {
		return h, true, nil
	}
	// The base offset is in no checksum: the batch behind must begin above.
	next, ok, err := s.peek(pos + int64(h.Size()))
	if err != nil || !ok {
		return h, err == nil, err
	}
	if next > s.floor && next <= last && base != s.floor {
		return h, false, nil
	}
	return h, true, nil
}

// peek returns the base offset of a batch at a position, if one seems to be there.
func (s *scanner) peek(pos int64) (ident.Offset, bool, error) {
	if s.limit-pos < record.HeaderSize {
		return 0, false, nil
	}
	var b [record.HeaderSize]byte
	if n, err := s.file.ReadAt(b[:], pos); n < len(b) {
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, false, err
		}
		return 0, false, nil
	}
	h, err := record.ParseHeader(b[:])
	return ident.Offset(h.BaseOffset), err == nil, nil
}

// resync returns the position of the next whole batch, or the limit.
func (s *scanner) resync(pos int64) (int64, error) {
	const chunk = 1 << 20
	buf := make([]byte, chunk)
	for pos < s.limit {
		n := min(chunk, s.limit-pos)
		if n < record.HeaderSize {
			return s.limit, nil
		}
		k, err := s.file.ReadAt(buf[:n], pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if int64(k) < n {
			return s.limit, nil
		}
		for i := int64(0); i+record.HeaderSize <= n; i++ {
			if buf[i+16] != 2 || binary.BigEndian.Uint32(buf[i+8:]) > uint32(s.limit-pos-i) {
				continue
			}
			if _, ok, err := s.whole(pos+i, buf[i:i+record.HeaderSize], 0); ok || err != nil {
				return pos + i, err
			}
		}
		pos += n - record.HeaderSize + 1
	}
	return s.limit, nil
}
