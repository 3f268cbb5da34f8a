package segfile

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strconv"
)

// Stores take parts of this size at least and at most.
const (
	partBytesMin = 5 << 20
	partBytesMax = 16 << 20
)

// pieceSums are the CRC-32Cs of what goes by, cut into pieces of one size.
type pieceSums struct {
	size int64
	left int64 // of the current piece
	crc  uint32
	done []uint32 // of the whole pieces before it
}

// newPieceSums is for about so many bytes in all.
func newPieceSums(size, total int64) *pieceSums {
	return &pieceSums{size: size, left: size, done: make([]uint32, 0, total/size+1)}
}

// newPartSums is for the parts in which a store is sent an object.
func newPartSums(part, total int64) *pieceSums {
	if part == 0 {
		part = partBytesDefault
	}
	return newPieceSums(min(max(part, partBytesMin), partBytesMax), total)
}

// write takes the next bytes.
func (p *pieceSums) write(b []byte) {
	for len(b) > 0 {
		if p.left == 0 {
			p.done = append(p.done, p.crc)
			p.left, p.crc = p.size, 0
		}
		n := int(min(p.left, int64(len(b))))
		p.crc = crc32.Update(p.crc, castagnoli, b[:n])
		p.left -= int64(n)
		b = b[n:]
	}
}

// all returns the checksums of all pieces; there is one at least.
func (p *pieceSums) all() []uint32 { return append(p.done[:len(p.done):len(p.done)], p.crc) }

// text returns the checksum as objstore.Info shows it: that of a whole object
// that is one piece, else the checksum of the pieces' checksums.
func (p *pieceSums) text() string {
	var sums []byte
	for _, crc := range p.all() {
		sums = binary.BigEndian.AppendUint32(sums, crc)
	}
	if len(sums) == 4 {
		return "crc32c:" + base64.StdEncoding.EncodeToString(sums)
	}
	all := binary.BigEndian.AppendUint32(nil, crc32.Checksum(sums, castagnoli))
	return "crc32c:" + base64.StdEncoding.EncodeToString(all) + "-" + strconv.Itoa(len(sums)/4)
}
