package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
)

// raftEntry prints one Raft entry. kind is Raft's: 0 is the application's.
func (d *dumper) raftEntry(kind byte, data []byte, at int64, fields []field) error {
	switch {
	case kind != 0:
		return d.item("entry", at, append(fields, field{"kind", "configuration change"}, field{"bytes", len(data)})...)
	case len(data) == 0:
		return d.item("entry", at, append(fields, field{"kind", "new leader"})...)
	}
	e, err := entry.Parse(data)
	if err != nil {
		if err := d.item("entry", at, append(fields, field{"bytes", len(data)})...); err != nil {
			return err
		}
		return d.damage(at, "the entry: %v", err)
	}
	fields = append(fields, field{"kind", e.Kind.String()}, d.timeField("time", e.Time), field{"bytes", len(data)})
	more, wrong := entryFields(e)
	if err := d.item("entry", at, append(fields, more...)...); err != nil {
		return err
	}
	if wrong != "" {
		return d.damage(at, "the entry: %s", wrong)
	}
	return d.entryBatch(e, at)
}

// header lengths of the kinds, docs/format/entry.md.
const (
	chainedHeader = 43
	emittedHeader = 44
	forgetHeader  = 24
)

// entryFields reads what a kind's header and payload say, and what is wrong with
// them. Kinds that are not known here have nothing to show.
func entryFields(e entry.Entry) (fields []field, wrong string) {
	le, h := binary.LittleEndian, e.Header
	short := func(n int) bool {
		if len(h) < n {
			wrong = fmt.Sprintf("a header of %d bytes, and not %d", len(h), n)
		}
		return wrong != ""
	}
	switch e.Kind {
	case entry.Batch:
		if !short(9) {
			fields = []field{{"generation", le.Uint64(h)}, {"continues", h[8]&1 == 1}}
		}
	case entry.LogStart:
		if !short(9) {
			fields = []field{{"offset", int64(le.Uint64(h))}, {"reason", h[8]}}
		}
	case entry.ProducerExpiry:
		if !short(8) {
			fields = []field{{"before", int64(le.Uint64(h))}}
		}
	case entry.Chained:
		if !short(chainedHeader) {
			fields = []field{{"generation", le.Uint64(h)}, {"producer", int64(le.Uint64(h[16:]))}, {"producer_epoch", int16(le.Uint16(h[24:]))},
				{"sequence", int32(le.Uint32(h[26:]))}, {"last_offset_delta", int32(le.Uint32(h[30:]))},
				{"stored_bytes", le.Uint32(h[34:])}, {"emissions", le.Uint32(h[38:])}, {"continues", h[42]&1 == 1}}
		}
	case entry.Emitted:
		if !short(emittedHeader) {
			fields = []field{{"origin_topic_id", hex.EncodeToString(h[:16])}, {"origin_partition", int32(le.Uint32(h[16:]))},
				{"first", le.Uint64(h[20:])}, {"last", le.Uint64(h[28:])}, {"metadata_version", le.Uint64(h[36:])}}
		}
	case entry.OutboxTrim:
		if !short(8) {
			fields = []field{{"emission", le.Uint64(h)}}
		}
	case entry.ForgetOrigin:
		if !short(forgetHeader) {
			fields = []field{{"origin_topic_id", hex.EncodeToString(h[:16])}, {"metadata_version", le.Uint64(h[16:])}}
		}
	case entry.TierCommit:
		g, _, err := manifest.DecodeSegment(h)
		if err != nil {
			return nil, err.Error()
		}
		fields = []field{{"base_offset", int64(g.Base)}, {"end_offset", int64(g.End)}, {"term", g.Term}, {"upload_id", hex.EncodeToString(g.ID[:])}, {"object_bytes", g.ObjectBytes}}
	case entry.LocalStart:
		if !short(8) {
			fields = []field{{"offset", int64(le.Uint64(h))}}
		}
	case entry.TierTrim:
		fields = []field{{"upload_ids", len(e.Payload) / len(manifest.ID{})}}
	case entry.Command:
		c, err := metadata.Decode(e.Payload)
		if err != nil {
			return nil, err.Error()
		}
		fields = []field{{"command", fmt.Sprintf("%T", c)[len("metadata."):]}}
	}
	return fields, wrong
}

// entryBatch prints the record batch that an entry carries. Its offsets are the
// client's, from 0: it gets others when it is applied.
func (d *dumper) entryBatch(e entry.Entry, at int64) error {
	b := e.Payload
	switch e.Kind {
	case entry.Batch, entry.Emitted:
	case entry.Chained:
		stored := binary.LittleEndian.Uint32(e.Header[34:])
		if int64(stored) > int64(len(b)) {
			return d.damage(at, "the entry stores %d bytes and has %d", stored, len(b))
		}
		b = b[:stored]
	default:
		return nil
	}
	if len(b) == 0 {
		return nil
	}
	position := at + entryHeaderBytes + int64(len(e.Header))
	h, err := record.ParseHeader(b)
	if err != nil || h.Size() != len(b) {
		return d.damage(position, "the entry's payload of %d bytes is no record batch", len(b))
	}
	crc := record.VerifyCRC(b)
	if err := d.item("batch", position, d.batchFields(&h, crc)...); err != nil {
		return err
	}
	if !crc {
		return d.damage(position, "the checksum of the entry's record batch is wrong")
	}
	return d.batchRecords(b, &h, position)
}

// entryHeaderBytes lie before the header of an entry's kind: those of the log's
// entry, and those of the entry itself.
const entryHeaderBytes = 8 + 8 + 1 + 4 + entry.HeaderBytes
