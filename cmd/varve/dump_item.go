package main

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/varvelog/varve/internal/record"
)

// field is one named value of an item: a string, a number, a bool, or bytes.
type field struct {
	name  string
	value any
}

// textBytesMost bounds how much of keys and values stands in a line of text.
const textBytesMost = 256

// item prints one item: what it is, where it begins (-1: nowhere of its own),
// and its fields in order.
func (d *dumper) item(kind string, position int64, fields ...field) error {
	if position >= 0 {
		fields = append([]field{{"position", position}}, fields...)
	}
	b := d.buffer[:0]
	if d.json {
		b = append(b, `{"item":`...)
		b = appendJSONValue(b, kind)
		for _, f := range fields {
			b = append(b, ',')
			b = appendJSONValue(b, f.jsonName())
			b = append(b, ':')
			b = appendJSONValue(b, f.value)
		}
		b = append(b, '}')
	} else {
		b = append(b, kind...)
		for _, f := range fields {
			b = append(appendTextValue(append(b, ' '), f.name), '=') // of a header, whoever wrote it chose the name
			b = appendTextValue(b, f.value)
		}
	}
	d.buffer = append(b, '\n')
	_, err := d.w.Write(d.buffer)
	return err
}

// jsonName tells bytes that are no text apart.
func (f field) jsonName() string {
	if b, ok := f.value.([]byte); ok && b != nil && !utf8.Valid(b) {
		return f.name + "_base64"
	}
	return f.name
}

func appendJSONValue(b []byte, v any) []byte {
	if raw, ok := v.([]byte); ok {
		switch {
		case raw == nil:
			return append(b, "null"...)
		case utf8.Valid(raw):
			v = string(raw)
		}
	}
	text, err := json.Marshal(v)
	if err != nil { // not with the types of a field
		return append(b, "null"...)
	}
	return append(b, text...)
}

func appendTextValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case []byte:
		if v == nil {
			return append(b, "null"...)
		}
		if len(v) > textBytesMost {
			b = strconv.AppendQuote(b, string(v[:textBytesMost]))
			return append(strconv.AppendInt(append(b, "...("...), int64(len(v)), 10), " bytes)"...)
		}
		return strconv.AppendQuote(b, string(v))
	case string:
		if plainWord(v) {
			return append(b, v...)
		}
		return strconv.AppendQuote(b, v)
	}
	return appendJSONValue(b, v)
}

func plainWord(s string) bool {
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) {
			return false
		}
	}
	return s != ""
}

// timeField is a timestamp in ms. In text it reads like a time; -1 is none.
func (d *dumper) timeField(name string, ms int64) field {
	if d.json {
		return field{name, ms}
	}
	if ms == -1 {
		return field{name, "none"}
	}
	if ms < 0 || ms > 253402300799999 { // the year 9999
		return field{name, ms}
	}
	return field{name, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")}
}

// batchFields are the fields of a record batch with a header that was read.
func (d *dumper) batchFields(h *record.Header, crc bool) []field {
	state := "ok"
	if !crc {
		state = "wrong"
	}
	kind := "create"
	if h.TimestampType() == record.LogAppendTime {
		kind = "append"
	}
	f := []field{
		{"base_offset", h.BaseOffset}, {"last_offset", h.LastOffset()}, {"records", h.Count}, {"bytes", h.Size()},
		{"epoch", h.LeaderEpoch}, {"codec", h.Codec().String()}, {"crc", state},
		d.timeField("base_timestamp", h.BaseTimestamp), d.timeField("max_timestamp", h.MaxTimestamp), {"timestamps", kind},
	}
	if h.ProducerID >= 0 {
		f = append(f, field{"producer", h.ProducerID}, field{"producer_epoch", h.ProducerEpoch}, field{"sequence", h.BaseSequence})
	}
	if h.IsTransactional() {
		f = append(f, field{"transactional", true})
	}
	if h.IsControl() {
		f = append(f, field{"control", true})
	}
	return f
}

// batchRecords prints the records of a batch whose checksum is right.
func (d *dumper) batchRecords(batch []byte, h *record.Header, position int64) error {
	if !d.records {
		return nil
	}
	var failed error
	err := record.ForEach(batch, 0, func(r *record.Record) error {
		at := h.BaseTimestamp + r.TimestampDelta
		if h.TimestampType() == record.LogAppendTime {
			at = h.MaxTimestamp
		}
		f := []field{{"offset", h.BaseOffset + int64(r.OffsetDelta)}, d.timeField("timestamp", at), {"key", r.Key}, {"value", r.Value}}
		for _, header := range r.Headers {
			f = append(f, field{"header:" + string(header.Key), header.Value})
		}
		failed = d.item("record", -1, f...)
		return failed
	})
	if failed != nil || err == nil {
		return failed
	}
	return d.damage(position, "records: %v", err)
}
