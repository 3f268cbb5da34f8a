package main

import (
	"encoding/hex"
	"errors"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// objectMagic begins a segment object; docs/format/segment-object.md.
const objectMagic = "VARVES"

func dumpObject(d *dumper) error {
	head := make([]byte, min(d.size, manifest.DataOffset))
	if err := d.read(head, 0); err != nil {
		return err
	}
	h, err := segfile.ParseHeader(head)
	if err != nil {
		return d.damage(0, "%v", err)
	}
	err = d.item("object", 0, field{"topic_id", hex.EncodeToString(h.Partition.Topic[:])}, field{"partition", h.Partition.Index},
		field{"base_offset", int64(h.Base)}, field{"term", h.Term}, field{"upload_id", hex.EncodeToString(h.ID[:])})
	if err != nil {
		return err
	}
	info, err := segfile.ReadTail(d.in, d.size)
	if err != nil {
		return d.damage(d.size, "the tail: %v", err)
	}
	s, t := info.Segment, info.Tail
	err = d.item("tail", manifest.DataOffset+int64(s.DataBytes), field{"cluster", t.Cluster()}, field{"topic", t.Topic()},
		field{"base_offset", int64(s.Base)}, field{"end_offset", int64(s.End)}, field{"data_bytes", s.DataBytes}, field{"batches", t.Batches()},
		d.timeField("max_timestamp", s.MaxTimestamp), field{"producer_bytes", len(t.Producers())})
	if err != nil {
		return err
	}
	for _, e := range t.Epochs() {
		if err := d.item("epoch", -1, field{"epoch", int32(e.Epoch)}, field{"start_offset", int64(e.Start)}); err != nil {
			return err
		}
	}
	d.sealed = true
	end := manifest.DataOffset + int64(s.DataBytes)
	at, err := d.batches(manifest.DataOffset, end)
	if err != nil {
		return err
	}
	if at != end {
		return d.damage(at, "no batch begins here, and %d bytes of data follow", end-at)
	}
	if d.damaged > 0 {
		return nil
	}
	// What no single batch shows: index and checksums of the whole.
	if _, err := segfile.Verify(d.in, d.size); err != nil && !errors.Is(err, segfile.ErrDamaged) {
		return err
	} else if err != nil {
		return d.damage(0, "the whole: %v", err)
	}
	return nil
}
