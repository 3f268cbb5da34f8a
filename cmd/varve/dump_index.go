package main

import (
	"encoding/binary"
	"hash/crc32"
)

// The index of a segment; docs/format/segment.md describes it.
const (
	indexMagic      = "VARVEIDX"
	indexHeader     = 32
	indexBlock      = 8
	indexEntryBytes = 16
	indexEntriesMax = 1 << 16
	indexFooter     = 56
	indexFooterMark = 0xffffffff
	indexBytesMax   = 1 << 31
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcAround is the checksum of b but for the four bytes at a place.
func crcAround(b []byte, at int) uint32 {
	return crc32.Update(crc32.Checksum(b[:at], castagnoli), castagnoli, b[at+4:])
}

func dumpIndex(d *dumper) error {
	if d.size < indexHeader || d.size > indexBytesMax {
		return d.damage(0, "%d bytes are no index", d.size)
	}
	b := make([]byte, d.size)
	if err := d.read(b, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	base := int64(le.Uint64(b[16:]))
	switch {
	case string(b[:8]) != indexMagic:
		return d.damage(0, "the magic is not %s", indexMagic)
	case le.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli):
		return d.damage(0, "the checksum of the header is wrong")
	case le.Uint32(b[8:]) != 1 && le.Uint32(b[8:]) != 2:
		return d.damage(0, "version %d is not known", le.Uint32(b[8:]))
	}
	if err := d.item("index", 0, field{"version", le.Uint32(b[8:])}, field{"base_offset", base}); err != nil {
		return err
	}
	var last *indexEntry
	for at := indexHeader; at < len(b); {
		rest := b[at:]
		if len(rest) >= 4 && le.Uint32(rest) == indexFooterMark {
			return d.indexFooter(rest, int64(at))
		}
		n := int64(0)
		if len(rest) >= indexBlock {
			n = int64(le.Uint32(rest))
		}
		size := indexBlock + n*indexEntryBytes
		if n == 0 || n > indexEntriesMax || size > int64(len(rest)) {
			return d.damage(int64(at), "no block begins here, and %d bytes follow", len(rest))
		}
		if le.Uint32(rest[4:]) != crcAround(rest[:size], 4) {
			return d.damage(int64(at), "the checksum of a block of %d entries is wrong", n)
		}
		var err error
		if last, err = d.indexBlock(rest[:size], int64(at), base, last); err != nil {
			return err
		}
		at += int(size)
	}
	return nil
}

// indexEntry is one entry of an index.
type indexEntry struct {
	relative, position uint32
	maxTime            int64
}

// indexBlock prints the entries of a block whose checksum is right.
func (d *dumper) indexBlock(b []byte, at, base int64, last *indexEntry) (*indexEntry, error) {
	le := binary.LittleEndian
	if err := d.item("block", at, field{"entries", le.Uint32(b)}); err != nil {
		return nil, err
	}
	for i := indexBlock; i < len(b); i += indexEntryBytes {
		e := &indexEntry{le.Uint32(b[i:]), le.Uint32(b[i+4:]), int64(le.Uint64(b[i+8:]))}
		err := d.item("entry", at+int64(i), field{"offset", base + int64(e.relative)}, field{"segment_position", e.position}, d.timeField("max_timestamp", e.maxTime))
		if err == nil && last != nil && (e.relative <= last.relative || e.position <= last.position || e.maxTime < last.maxTime) {
			err = d.damage(at+int64(i), "the entry does not follow the one before it")
		}
		if err != nil {
			return nil, err
		}
		last = e
	}
	return last, nil
}

func (d *dumper) indexFooter(b []byte, at int64) error {
	if len(b) != indexFooter {
		return d.damage(at, "the footer has %d bytes and not %d", len(b), indexFooter)
	}
	le := binary.LittleEndian
	if le.Uint32(b[4:]) != crcAround(b, 4) {
		return d.damage(at, "the checksum of the footer is wrong")
	}
	v := func(i int) int64 { return int64(le.Uint64(b[8+8*i:])) }
	return d.item("footer", at, field{"base_offset", v(0)}, field{"end_offset", v(1)}, field{"bytes", v(2)},
		d.timeField("max_timestamp", v(3)), field{"max_timestamp_offset", v(4)}, d.timeField("first_timestamp", v(5)))
}
