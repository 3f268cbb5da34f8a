package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record as consume prints it and produce reads it. Bytes that
// are not UTF-8 stand in the field with _base64 instead.
type jsonRecord struct {
	Topic       string       `json:"topic,omitempty"`
	Partition   *int32       `json:"partition,omitempty"`
	Offset      *int64       `json:"offset,omitempty"`
	Timestamp   *int64       `json:"timestamp,omitempty"` // ms since 1970
	Key         *string      `json:"key"`
	KeyBase64   []byte       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 []byte       `json:"value_base64,omitempty"`
	Headers     []jsonHeader `json:"headers,omitempty"`
}

type jsonHeader struct {
	Name        string  `json:"name"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

// textOrBytes splits bytes between the two fields that may hold them.
func textOrBytes(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !printable(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// appendJSON adds a record as one line.
func appendJSON(dst []byte, r *kgo.Record) ([]byte, error) {
	ms := r.Timestamp.UnixMilli()
	j := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &ms}
	j.Key, j.KeyBase64 = textOrBytes(r.Key)
	j.Value, j.ValueBase64 = textOrBytes(r.Value)
	for _, h := range r.Headers {
		k := jsonHeader{Name: h.Key}
		k.Value, k.ValueBase64 = textOrBytes(h.Value)
		j.Headers = append(j.Headers, k)
	}
	return appendLine(dst, j)
}

// appendLine adds v as JSON on one line.
func appendLine(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// readJSON reads a line that appendJSON could have written. Topic, offset and
// partition say where the record came from, and are left alone.
func readJSON(line []byte, r *kgo.Record) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var j jsonRecord
	if err := d.Decode(&j); err != nil {
		return fmt.Errorf("no record as JSON: %w", err)
	}
	if d.More() {
		return errors.New("no record as JSON: something follows it on the line")
	}
	var err error
	if r.Key, err = oneOf("key", j.Key, j.KeyBase64); err != nil {
		return err
	}
	if r.Value, err = oneOf("value", j.Value, j.ValueBase64); err != nil {
		return err
	}
	for _, h := range j.Headers {
		value, err := oneOf("header "+h.Name, h.Value, h.ValueBase64)
		if err != nil {
			return err
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: value})
	}
	if j.Timestamp != nil && *j.Timestamp >= 0 {
		r.Timestamp = time.UnixMilli(*j.Timestamp)
	}
	return nil
}

func oneOf(what string, text *string, raw []byte) ([]byte, error) {
	switch {
	case text != nil && raw != nil:
		return nil, fmt.Errorf("%s is given twice, as text and as base64", what)
	case text != nil:
		return []byte(*text), nil
	}
	return raw, nil
}
