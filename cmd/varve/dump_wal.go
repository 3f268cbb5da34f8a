package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/varvelog/varve/broker/wal"
)

// dumpWAL prints a file of the write-ahead log; docs/format/wal.md describes it.
func dumpWAL(d *dumper) error {
	if d.size < wal.Block {
		return d.damage(0, "%d bytes are no file of a write-ahead log", d.size)
	}
	b := make([]byte, wal.FileHeaderBytes)
	if err := d.read(b, 0); err != nil {
		return err
	}
	f, err := wal.ParseFile(b)
	switch {
	case string(b[:len(wal.FileMagic)]) != wal.FileMagic:
		return d.damage(0, "the magic is not %s", wal.FileMagic)
	case err != nil && f.Version == 0:
		return d.damage(0, "the checksum of the header is wrong")
	case err != nil:
		return d.damage(0, "%v", err)
	}
	err = d.item("file", 0, field{"version", f.Version}, field{"sequence", f.Sequence}, field{"base", f.Base}, field{"bytes", f.Bytes},
		field{"low", f.Low}, field{"directory", hex.EncodeToString(f.Directory[:])})
	if err == nil && f.Bytes != d.size {
		err = d.damage(0, "the header says %d bytes, and the file has %d", f.Bytes, d.size)
	}
	if err != nil {
		return err
	}
	return d.walWrites(f)
}

// walWrites prints one write after the other.
func (d *dumper) walWrites(f wal.FileInfo) error {
	at, before := int64(wal.Block), int64(-1)
	for at < d.size {
		w, good, err := d.walWriteAt(f, at)
		if err != nil {
			return err
		}
		if !good {
			return d.walEnd(f, at)
		}
		err = d.item("write", at, field{"log_position", w.Position}, field{"previous", w.Previous}, field{"durable", w.Durable},
			field{"bytes", w.Bytes}, field{"records", w.Records})
		if err == nil && before >= 0 && w.Previous != before {
			err = d.damage(at, "the write follows log position %d, and the one before it ends at %d", w.Previous, before)
		}
		if err == nil {
			err = d.walRecords(f, w, at)
		}
		if err != nil {
			return err
		}
		at += w.Bytes
		before = f.Base + at
	}
	return nil
}

// walWriteAt reads the header of a write; good says whether it is one.
func (d *dumper) walWriteAt(f wal.FileInfo, at int64) (w wal.WriteInfo, good bool, err error) {
	if d.size-at < wal.WriteHeaderBytes {
		return w, false, nil
	}
	var b [wal.WriteHeaderBytes]byte
	if err := d.read(b[:], at); err != nil {
		return w, false, err
	}
	w, good = f.ParseWrite(b[:], at)
	return w, good && wal.WriteHeaderBytes+w.Length <= d.size-at, nil
}

// walRecords prints the records of a write whose header is right.
func (d *dumper) walRecords(f wal.FileInfo, w wal.WriteInfo, at int64) error {
	b, err := d.grow(nil, int(w.Length), at+wal.WriteHeaderBytes)
	if err != nil {
		return err
	}
	n := uint32(0)
	for off := int64(0); off < int64(len(b)); n++ {
		where := at + wal.WriteHeaderBytes + off
		r, size, err := f.ParseRecord(b[off:], where)
		if errors.Is(err, wal.ErrRecord) {
			return d.damage(where, "the record's checksum, generation or position is wrong, or it goes beyond its write; if it is the last write, a crash tore it and the next start drops it")
		}
		if err == nil {
			err = d.walRecord(&r, where)
		} else {
			err = d.damage(where, "%v", err)
		}
		if err != nil {
			return err
		}
		off += size
	}
	if n != w.Records {
		return d.damage(at, "the write says that it has %d records, and has %d", w.Records, n)
	}
	return nil
}

// walRecord prints a record.
func (d *dumper) walRecord(r *wal.Record, at int64) error {
	fields := []field{{"group", uint64(r.Group)}, {"replica", uint64(r.Replica)}}
	switch r.Kind {
	case wal.KindAppend:
		return d.walAppend(r, at, fields)
	case wal.KindCheckpoint:
		return d.walCheckpoint(r, at)
	case wal.KindGone:
		return d.item("gone", at, fields...)
	}
	return d.item("proof", at)
}

func (d *dumper) walAppend(r *wal.Record, at int64, fields []field) error {
	a := &r.Append
	err := d.item("append", at, append(fields, field{"term", a.Term}, field{"vote", a.Vote},
		field{"commit", a.Commit}, field{"entries", len(a.Entries)})...)
	for i, part := range r.Parts() {
		if err != nil {
			return err
		}
		e := &a.Entries[i]
		err = d.raftEntry(e.Type, e.Data, at+part, []field{{"index", e.Index}, {"term", e.Term}})
	}
	return err
}

func (d *dumper) walCheckpoint(r *wal.Record, at int64) error {
	p := &r.Piece
	err := d.item("checkpoint", at, field{"id", p.ID}, field{"piece", p.Number}, field{"last", p.Last}, field{"groups", len(p.Groups)})
	for i, part := range r.Parts() {
		if err != nil {
			return err
		}
		g := &p.Groups[i]
		fields := []field{{"group", uint64(g.Group)}, {"replica", uint64(g.Replica)}, {"low", g.Low}}
		err = d.item("state", at+part, append(fields, stateFields(g.State)...)...)
	}
	return err
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
func (d *dumper) walEnd(f wal.FileInfo, at int64) error {
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
		if good && w.Durable > f.Base+at {
			return d.damage(at, "no valid write begins here, and the write at byte %d proves that one was durable", p)
		}
	}
	return d.item("remains", at, field{"bytes", d.size - at}, field{"about", "no valid write begins here: what a crash tore, or an earlier start dropped"})
}
