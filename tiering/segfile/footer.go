package segfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

const (
	footerMagic = "VARVESEG"
	footerBytes = 112
	tableEntry  = 12 // bytes
)

// Kinds of sections. From mustUnderstand on, a reader that does not know a kind
// refuses the object.
const (
	kindIndex     uint32 = 1
	kindEpochs    uint32 = 2
	kindProducers uint32 = 3
	kindNames     uint32 = 4

	mustUnderstand uint32 = 1 << 31
	// mustUnderstand + 1 is reserved for aborted transactions.
	kindBlocks = mustUnderstand + 2
)

// footer is the end of an object.
type footer struct {
	partition ident.Partition
	sections  uint32
	segment   manifest.Segment // without TailCRC and CommittedAt
	batches   uint32
	dataCRC   uint32
}

// section is a part of the tail.
type section struct {
	kind uint32
	body []byte
}

// appendTo adds the sections' table and the footer.
func (f *footer) appendTo(b []byte, sections []section) []byte {
	le := binary.LittleEndian
	table := len(b)
	for _, s := range sections {
		b = le.AppendUint32(b, s.kind)
		b = le.AppendUint32(b, uint32(len(s.body)))
		b = le.AppendUint32(b, crc32.Checksum(s.body, castagnoli))
	}
	start := len(b)
	b = append(b, footerMagic...)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, 0)
	b = append(b, f.partition.Topic[:]...)
	b = le.AppendUint32(b, uint32(f.partition.Index))
	b = le.AppendUint32(b, uint32(len(sections)))
	b = le.AppendUint64(b, uint64(f.segment.Base))
	b = le.AppendUint64(b, uint64(f.segment.End))
	b = le.AppendUint64(b, f.segment.Term)
	b = append(b, f.segment.ID[:]...)
	b = le.AppendUint64(b, uint64(f.segment.DataBytes))
	b = le.AppendUint64(b, uint64(f.segment.ObjectBytes))
	b = le.AppendUint64(b, uint64(f.segment.MaxTimestamp))
	b = le.AppendUint32(b, f.batches)
	b = le.AppendUint32(b, f.dataCRC)
	le.PutUint32(b[start+12:], footerCRC(b[table:start], b[start:]))
	return b
}

func footerCRC(table, foot []byte) uint32 {
	crc := crc32.Checksum(table, castagnoli)
	crc = crc32.Update(crc, castagnoli, foot[:12])
	return crc32.Update(crc, castagnoli, foot[16:footerBytes])
}

// parseFooter reads the footer at the end of b. It checks that the fields can be
// true, and no checksum: that covers the table too, see split. It fails with
// ErrDamaged or ErrVersion.
func parseFooter(b []byte) (footer, error) {
	var f footer
	if len(b) < footerBytes {
		return f, fmt.Errorf("%w: a tail of %d bytes", ErrDamaged, len(b))
	}
	foot := b[len(b)-footerBytes:]
	if string(foot[:8]) != footerMagic {
		return f, fmt.Errorf("%w: no footer of a segment object", ErrDamaged)
	}
	le := binary.LittleEndian
	if v := le.Uint32(foot[8:]); v != version {
		return f, fmt.Errorf("%w: footer of version %d", ErrVersion, v)
	}
	copy(f.partition.Topic[:], foot[16:])
	f.partition.Index = int32(le.Uint32(foot[32:]))
	f.sections = le.Uint32(foot[36:])
	s := &f.segment
	s.Base, s.End, s.Term = ident.Offset(le.Uint64(foot[40:])), ident.Offset(le.Uint64(foot[48:])), le.Uint64(foot[56:])
	copy(s.ID[:], foot[64:])
	s.DataBytes, s.ObjectBytes = int64(le.Uint64(foot[80:])), int64(le.Uint64(foot[88:]))
	s.MaxTimestamp = int64(le.Uint64(foot[96:]))
	f.batches, f.dataCRC = le.Uint32(foot[104:]), le.Uint32(foot[108:])
	if err := s.Check(); err != nil {
		return f, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if f.partition.Index < 0 {
		return f, fmt.Errorf("%w: footer of partition %d", ErrDamaged, f.partition.Index)
	}
	return f, nil
}

// split checks table, footer and sections of a whole tail against their checksums
// and calls visit with the sections in order; body aliases tail. It fails with
// ErrDamaged, or as visit does.
func (f *footer) split(tail []byte, visit func(kind uint32, body []byte) error) error {
	foot := tail[len(tail)-footerBytes:]
	room := len(tail) - footerBytes
	if int64(f.sections) > int64(room/tableEntry) {
		return fmt.Errorf("%w: %d sections in a tail of %d bytes", ErrDamaged, f.sections, len(tail))
	}
	table := tail[room-tableEntry*int(f.sections) : room]
	bodies := tail[:len(tail)-footerBytes-len(table)]
	le := binary.LittleEndian
	if le.Uint32(foot[12:]) != footerCRC(table, foot) {
		return fmt.Errorf("%w: checksum of the footer", ErrDamaged)
	}
	for ; len(table) > 0; table = table[tableEntry:] {
		kind, length, crc := le.Uint32(table), le.Uint32(table[4:]), le.Uint32(table[8:])
		if int64(length) > int64(len(bodies)) {
			return fmt.Errorf("%w: section %d of %d bytes, %d are left", ErrDamaged, kind, length, len(bodies))
		}
		body := bodies[:length:length]
		bodies = bodies[length:]
		if crc32.Checksum(body, castagnoli) != crc {
			return fmt.Errorf("%w: checksum of section %d", ErrDamaged, kind)
		}
		if err := visit(kind, body); err != nil {
			return err
		}
	}
	if len(bodies) > 0 {
		return fmt.Errorf("%w: %d bytes of the tail belong to no section", ErrDamaged, len(bodies))
	}
	return nil
}
