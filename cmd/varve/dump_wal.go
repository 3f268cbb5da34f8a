package main

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"

	"github.com/varvelog/varve/broker/wal"
)

// Files of the write-ahead log; docs/format/wal.md describes them.
const (
	walMagic        = "VARVEWAL"
	walWriteMagic   = "VWRT"
	walHeader       = 80 // of a file; it takes a whole block
	walWriteHeader  = 64
	walRecordHeader = 48
)

// walFile is the header of a file.
type walFile struct {
	generation uint64
	base       int64
	size       int64
}

// walWrite is the header of a write.
type walWrite struct {
	previous, durable int64
	length, count     uint32
}

// extent is how many bytes of the file the write takes.
func (w walWrite) extent() int64 {
	return (walWriteHeader + int64(w.length) + wal.Block - 1) / wal.Block * wal.Block
}

func dumpWAL(d *dumper) error {
	if d.size < wal.Block {
		return d.damage(0, "%d bytes are no file of a write-ahead log", d.size)
	}
	b := make([]byte, walHeader)
	if err := d.read(b, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	switch {
	case string(b[:8]) != walMagic:
		return d.damage(0, "the magic is not %s", walMagic)
	case le.Uint32(b[12:]) != crcAround(b, 12):
		return d.damage(0, "the checksum of the header is wrong")
	case le.Uint32(b[8:]) != 1:
		return d.damage(0, "version %d is not known", le.Uint32(b[8:]))
	}
	f := walFile{generation: le.Uint64(b[24:]), base: int64(le.Uint64(b[32:])), size: int64(le.Uint64(b[40:]))}
	err := d.item("file", 0, field{"version", le.Uint32(b[8:])}, field{"sequence", le.Uint64(b[16:])}, field{"base", f.base}, field{"bytes", f.size},
		field{"low", int64(le.Uint64(b[48:]))}, field{"directory", hex.EncodeToString(b[56:72])})
	if err == nil && f.size != d.size {
		err = d.damage(0, "the header says %d bytes, and the file has %d", f.size, d.size)
	}
	if err != nil {
		return err
	}
	return d.walWrites(f)
}

// walWrites prints one write after the other.
func (d *dumper) walWrites(f walFile) error {
	at, before := int64(wal.Block), int64(-1)
	for at < d.size {
		w, good, err := d.walWriteAt(f, at)
		if err != nil {
			return err
		}
		if !good {
			return d.walEnd(f, at)
		}
		err = d.item("write", at, field{"log_position", f.base + at}, field{"previous", w.previous}, field{"durable", w.durable},
			field{"bytes", w.extent()}, field{"records", w.count})
		if err == nil && before >= 0 && w.previous != before {
			err = d.damage(at, "the write follows log position %d, and the one before it ends at %d", w.previous, before)
		}
		if err == nil {
			err = d.walRecords(f, w, at)
		}
		if err != nil {
			return err
		}
		at += w.extent()
		before = f.base + at
	}
	return nil
}

// walWriteAt reads the header of a write; good says whether it is one.
func (d *dumper) walWriteAt(f walFile, at int64) (w walWrite, good bool, err error) {
	if d.size-at < walWriteHeader {
		return w, false, nil
	}
	var b [walWriteHeader]byte
	if err := d.read(b[:], at); err != nil {
		return w, false, err
	}
	le := binary.LittleEndian
	if string(b[:4]) != walWriteMagic || le.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) ||
		le.Uint64(b[8:]) != f.generation || int64(le.Uint64(b[16:])) != f.base+at {
		return w, false, nil
	}
	w = walWrite{int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:])), le.Uint32(b[40:]), le.Uint32(b[44:])}
	return w, w.length > 0 && walWriteHeader+int64(w.length) <= d.size-at, nil
}

// walRecords prints the records of a write whose header is right.
func (d *dumper) walRecords(f walFile, w walWrite, at int64) error {
	b, err := d.grow(nil, int(w.length), at+walWriteHeader)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	n := uint32(0)
	for off := int64(0); off < int64(len(b)); n++ {
		r, where := b[off:], at+walWriteHeader+off
		if len(r) < walRecordHeader {
			return d.damage(where, "%d bytes are left of the write, and no record is so short", len(r))
		}
		size := walRecordHeader + int64(le.Uint32(r[4:]))
		if size > int64(len(r)) {
			return d.damage(where, "the record has %d bytes, and %d are left of the write", size, len(r))
		}
		r = r[:size]
		if le.Uint32(r) != crc32.Checksum(r[4:], castagnoli) || le.Uint64(r[8:]) != f.generation || int64(le.Uint64(r[16:])) != f.base+where {
			return d.damage(where, "the record's checksum, generation or position is wrong; if it is the last write, a crash tore it and the next start drops it")
		}
		if err := d.walRecord(r, where); err != nil {
			return err
		}
		off += size
	}
	if n != w.count {
		return d.damage(at, "the write says that it has %d records, and has %d", w.count, n)
	}
	return nil
}

// walRecord prints a record whose checksum is right.
func (d *dumper) walRecord(r []byte, at int64) error {
	le := binary.LittleEndian
	kind, names := wal.Kind(r[40]), map[wal.Kind]string{
		wal.KindAppend: "append", wal.KindCheckpoint: "checkpoint", wal.KindGone: "gone", wal.KindProof: "proof",
	}
	fields := []field{{"group", le.Uint64(r[24:])}, {"replica", le.Uint64(r[32:])}}
	body := r[walRecordHeader:]
	switch kind {
	case wal.KindAppend:
		return d.walAppend(body, at, fields)
	case wal.KindCheckpoint:
		return d.walCheckpoint(body, at)
	case wal.KindGone:
		return d.item(names[kind], at, fields...)
	case wal.KindProof:
		return d.item(names[kind], at)
	}
	return d.damage(at, "kind %d is not known", r[40])
}

func (d *dumper) walAppend(b []byte, at int64, fields []field) error {
	const header, entryHeader = 8 + 8 + 8 + 4, 8 + 8 + 1 + 4
	le := binary.LittleEndian
	if len(b) < header {
		return d.damage(at, "an append of %d bytes", len(b))
	}
	n := le.Uint32(b[24:])
	err := d.item("append", at, append(fields, field{"term", le.Uint64(b)}, field{"vote", le.Uint64(b[8:])},
		field{"commit", le.Uint64(b[16:])}, field{"entries", n})...)
	if err != nil {
		return err
	}
	off := header
	for i := range n {
		rest := b[off:]
		if len(rest) < entryHeader || int64(le.Uint32(rest[17:])) > int64(len(rest)-entryHeader) {
			return d.damage(at, "entry %d of %d goes beyond the record", i+1, n)
		}
		size := entryHeader + int(le.Uint32(rest[17:]))
		where := at + walRecordHeader + int64(off)
		own := []field{{"index", le.Uint64(rest)}, {"term", le.Uint64(rest[8:])}}
		if err := d.raftEntry(rest[16], rest[entryHeader:size], where, own); err != nil {
			return err
		}
		off += size
	}
	if off != len(b) {
		return d.damage(at, "%d bytes behind the last entry", len(b)-off)
	}
	return nil
}

func (d *dumper) walCheckpoint(b []byte, at int64) error {
	const header, groupHeader = 8 + 4 + 1 + 4, 8 + 8 + 8 + 4
	le := binary.LittleEndian
	if len(b) < header {
		return d.damage(at, "a checkpoint of %d bytes", len(b))
	}
	n := le.Uint32(b[13:])
	err := d.item("checkpoint", at, field{"id", le.Uint64(b)}, field{"piece", le.Uint32(b[8:])}, field{"last", b[12]&1 == 1}, field{"groups", n})
	if err != nil {
		return err
	}
	off := header
	for i := range n {
		rest := b[off:]
		if len(rest) < groupHeader || int64(le.Uint32(rest[24:])) > int64(len(rest)-groupHeader) {
			return d.damage(at, "group %d of %d goes beyond the record", i+1, n)
		}
		size := groupHeader + int(le.Uint32(rest[24:]))
		fields := []field{{"group", le.Uint64(rest)}, {"replica", le.Uint64(rest[8:])}, {"low", int64(le.Uint64(rest[16:]))}}
		if err := d.item("state", at+walRecordHeader+int64(off), append(fields, stateFields(rest[groupHeader:size])...)...); err != nil {
			return err
		}
		off += size
	}
	if off != len(b) {
		return d.damage(at, "%d bytes behind the last group", len(b)-off)
	}
	return nil
}

// stateFields reads the front of a group's state, as far as all groups share it.
func stateFields(b []byte) []field {
	const header = 1 + 8*5
	if len(b) < header || b[0] != 1 {
		return []field{{"bytes", len(b)}}
	}
	v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[1+8*i:]) }
	return []field{{"term", v(0)}, {"vote", v(1)}, {"commit", v(2)}, {"applied", v(3)}, {"applied_term", v(4)}, {"bytes", len(b)}}
}

// walEnd says what lies where no write begins. A later write that was made when
// all up to it was durable proves that something was lost here; else what lies
// here was never acknowledged, as far as this file alone can tell.
func (d *dumper) walEnd(f walFile, at int64) error {
	zeros, err := d.zeros(at)
	if err != nil {
		return err
	}
	if at+zeros == d.size {
		return d.item("unused", at, field{"bytes", zeros})
	}
	for p := at + wal.Block; p < d.size; p += wal.Block {
		w, good, err := d.walWriteAt(f, p)
		if err != nil {
			return err
		}
		if good && w.durable > f.base+at {
			return d.damage(at, "no valid write begins here, and the write at byte %d proves that one was durable", p)
		}
	}
	return d.item("remains", at, field{"bytes", d.size - at}, field{"about", "no valid write begins here: what a crash tore, or an earlier start dropped"})
}
