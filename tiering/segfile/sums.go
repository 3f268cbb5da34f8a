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

// partSums are the CRC-32Cs of an object's parts, as a store keeps them that is
// sent the object in parts of one size.
type partSums struct {
	part int64
	left int64 // of the current part
	crc  uint32
	sums []byte // of the whole parts, big-endian
}

func newPartSums(part int64) *partSums {
	if part == 0 {
		part = partBytesDefault
	}
	part = min(max(part, partBytesMin), partBytesMax)
	return &partSums{part: part, left: part}
}

// write takes the next bytes of the object.
func (p *partSums) write(b []byte) {
	for len(b) > 0 {
		if p.left == 0 {
			p.sums = binary.BigEndian.AppendUint32(p.sums, p.crc)
			p.left, p.crc = p.part, 0
		}
		n := int(min(p.left, int64(len(b))))
		p.crc = crc32.Update(p.crc, castagnoli, b[:n])
		p.left -= int64(n)
		b = b[n:]
	}
}

// text returns the checksum as objstore.Info shows it: that of a whole object
// that is one part, else the checksum of the parts' checksums.
func (p *partSums) text() string {
	sums := binary.BigEndian.AppendUint32(p.sums[:len(p.sums):len(p.sums)], p.crc)
	if len(p.sums) == 0 {
		return "crc32c:" + base64.StdEncoding.EncodeToString(sums)
	}
	all := binary.BigEndian.AppendUint32(nil, crc32.Checksum(sums, castagnoli))
	return "crc32c:" + base64.StdEncoding.EncodeToString(all) + "-" + strconv.Itoa(len(sums)/4)
}
