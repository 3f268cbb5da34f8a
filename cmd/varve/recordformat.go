package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A format is text with fields in it: %v is the value, %k the key, and so on.
// Both directions know the same fields, so what one command prints with a format
// another can read.
type format []piece

// piece is literal text or, if field is not 0, a field.
type piece struct {
	text  string
	field byte
}

// recordFields are the fields of a format and what they stand for.
var recordFields = []struct {
	field byte
	about string
	read  bool // whether produce reads it
}{
	{'v', "value (%s is the same)", true},
	{'k', "key", true},
	{'h', "headers, name=value separated by commas", true},
	{'p', "partition", true},
	{'T', "timestamp, ms since 1970", true},
	{'t', "topic", false},
	{'o', "offset", false},
	{'d', "timestamp like 2026-01-31T12:00:00.000Z", false},
	{'K', "bytes of the key, -1: null", false},
	{'V', "bytes of the value, -1: null (%S is the same)", false},
	{'e', "leader epoch", false},
}

// formatHelp lists the fields for a command's help.
func formatHelp(read bool) string {
	var b strings.Builder
	for _, f := range recordFields {
		if f.read || !read {
			fmt.Fprintf(&b, "   %%%c  %s\n", f.field, f.about)
		}
	}
	return b.String() + "   %%  a percent sign; also \\n, \\t, \\r, \\0, \\\\ and \\xHH"
}

// parseFormat reads a format; read says whether it is one to read records with.
func parseFormat(text string, read bool) (format, error) {
	var f format
	literal := func(s string) {
		if n := len(f); n > 0 && f[n-1].field == 0 {
			f[n-1].text += s
			return
		}
		f = append(f, piece{text: s})
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%' && i+1 == len(text), c == '\\' && i+1 == len(text):
			return nil, fmt.Errorf("ends with %q", c)
		case c == '%' && text[i+1] == '%':
			i++
			literal("%")
		case c == '%':
			i++
			field := text[i]
			switch field {
			case 's':
				field = 'v'
			case 'S':
				field = 'V'
			}
			if !knownField(field, read) {
				return nil, fmt.Errorf("%%%c is not known; `--help` lists the fields", field)
			}
			f = append(f, piece{field: field})
		case c == '\\':
			s, n, err := unescape(text[i+1:])
			if err != nil {
				return nil, err
			}
			i += n
			literal(s)
		default:
			literal(text[i : i+1])
		}
	}
	if len(f) == 0 {
		return nil, errors.New("is empty")
	}
	return f, nil
}

func knownField(field byte, read bool) bool {
	for _, f := range recordFields {
		if f.field == field {
			return f.read || !read
		}
	}
	return false
}

// unescape reads what follows a backslash, and returns how many bytes that was.
func unescape(text string) (string, int, error) {
	if i := strings.IndexByte(`ntr0\`, text[0]); i >= 0 {
		return "\n\t\r\x00\\"[i : i+1], 1, nil
	}
	if text[0] == 'x' && len(text) >= 3 {
		if n, err := strconv.ParseUint(text[1:3], 16, 8); err == nil {
			return string([]byte{byte(n)}), 3, nil
		}
	}
	return "", 0, fmt.Errorf(`\%c is not known; write \n, \t, \r, \0, \\ or \xHH`, text[0])
}

// append adds a record to dst as the format says.
func (f format) append(dst []byte, r *kgo.Record) []byte {
	for _, p := range f {
		switch p.field {
		case 0:
			dst = append(dst, p.text...)
		case 'v':
			dst = append(dst, r.Value...)
		case 'k':
			dst = append(dst, r.Key...)
		case 'h':
			for i, h := range r.Headers {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(append(append(dst, h.Key...), '='), h.Value...)
			}
		case 'p':
			dst = strconv.AppendInt(dst, int64(r.Partition), 10)
		case 'T':
			dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
		case 't':
			dst = append(dst, r.Topic...)
		case 'o':
			dst = strconv.AppendInt(dst, r.Offset, 10)
		case 'd':
			dst = r.Timestamp.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
		case 'K':
			dst = appendLength(dst, r.Key)
		case 'V':
			dst = appendLength(dst, r.Value)
		case 'e':
			dst = strconv.AppendInt(dst, int64(r.LeaderEpoch), 10)
		}
	}
	return dst
}

func appendLength(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "-1"...)
	}
	return strconv.AppendInt(dst, int64(len(b)), 10)
}

// checkReadable refuses formats with which lines cannot be taken apart.
func (f format) checkReadable() error {
	for i, p := range f {
		switch {
		case p.field == 0 && strings.Contains(p.text, "\n"):
			return errors.New("a record is one line; leave out the line end")
		case p.field != 0 && i > 0 && f[i-1].field != 0:
			return fmt.Errorf("nothing separates %%%c from %%%c", f[i-1].field, p.field)
		}
		for _, q := range f[:i] {
			if p.field != 0 && p.field == q.field {
				return fmt.Errorf("%%%c stands there twice", p.field)
			}
		}
	}
	return nil
}

// read takes a line apart. Each field ends where the text behind it is first
// found; the last one takes what is left. r's slices alias the line.
func (f format) read(line []byte, r *kgo.Record) error {
	rest := string(line) // one copy, that the fields share
	for i, p := range f {
		if p.field == 0 {
			var found bool
			if rest, found = strings.CutPrefix(rest, p.text); !found {
				return fmt.Errorf("%q is missing", p.text)
			}
			continue
		}
		field := rest
		if i+1 < len(f) {
			at := strings.Index(rest, f[i+1].text)
			if at < 0 {
				return fmt.Errorf("%q is missing behind %%%c", f[i+1].text, p.field)
			}
			field = rest[:at]
		}
		rest = rest[len(field):]
		if err := setField(r, p.field, field); err != nil {
			return err
		}
	}
	if rest != "" {
		return fmt.Errorf("%.40q is left behind the last field", rest)
	}
	return nil
}

func setField(r *kgo.Record, field byte, text string) error {
	switch field {
	case 'v':
		r.Value = []byte(text)
	case 'k':
		r.Key = []byte(text)
	case 'h':
		for _, h := range strings.Split(text, ",") {
			if text == "" {
				break
			}
			name, value, found := strings.Cut(h, "=")
			if !found || name == "" {
				return fmt.Errorf("header %.40q is not name=value", h)
			}
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
	case 'p':
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%.40q is no partition", text)
		}
		r.Partition = int32(n)
	case 'T':
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%.40q is no timestamp", text)
		}
		r.Timestamp = time.UnixMilli(n)
	}
	return nil
}

// has says whether the format holds a field.
func (f format) has(field byte) bool {
	for _, p := range f {
		if p.field == field {
			return true
		}
	}
	return false
}

// printable says whether bytes can stand in JSON as they are.
func printable(b []byte) bool { return utf8.Valid(b) }
