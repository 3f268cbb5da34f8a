package plugins

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A field is a member of an object: its name, and what reads and checks its
// value, whose first byte is not white space.
type field struct {
	name string
	read func(path string, value []byte) error
}

// readObject reads the object b member by member. Unlike encoding/json it takes
// names by the letter and refuses those that are unknown or repeated. path is
// the object's own, empty for the outermost.
func readObject(path string, b []byte, fields []field) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fieldError(orWhole(path), string(b), "write a JSON object")
	}
	seen := make([]bool, len(fields))
	for d.More() {
		t, err := d.Token()
		name, isName := t.(string)
		if err != nil || !isName {
			return syntaxError(path, err)
		}
		i := find(fields, name)
		if i < 0 {
			return fieldError(join(path, name), "", "no such field: write one of "+names(fields))
		}
		if seen[i] {
			return fieldError(join(path, name), "", "the field is there twice: write it once")
		}
		seen[i] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return syntaxError(join(path, name), err)
		}
		if err := fields[i].read(join(path, name), bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return syntaxError(path, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: %s: something follows the object: write one object only", ErrSpec, orWhole(path))
	}
	return nil
}

func syntaxError(path string, err error) error {
	return fmt.Errorf("%w: %s: %w: write valid JSON", ErrSpec, orWhole(path), err)
}

func find(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

func names(fields []field) string {
	all := make([]string, len(fields))
	for i := range fields {
		all[i] = fields[i].name
	}
	return strings.Join(all, ", ")
}

func join(path, name string) string {
	if len(name) > maxShownBytes {
		name = name[:maxShownBytes] + "..."
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func orWhole(path string) string {
	if path == "" {
		return "stage"
	}
	return path
}

func readString(path string, b []byte, to *string, valid func(string) bool, remedy string) error {
	if len(b) == 0 || b[0] != '"' || json.Unmarshal(b, to) != nil || !valid(*to) {
		return fieldError(path, string(b), remedy)
	}
	return nil
}

func readBool(path string, b []byte, to *bool) error {
	switch string(b) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return fieldError(path, string(b), "write true or false")
	}
	return nil
}

func readInt(path string, b []byte, to *int64, low, high int64) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < low || n > high {
		remedy := fmt.Sprintf("write a whole number from %d to %d", low, high)
		if low == high {
			remedy = fmt.Sprintf("write %d", low)
		}
		return fieldError(path, string(b), remedy)
	}
	*to = n
	return nil
}

// readName reads one of names as its position.
func readName[T ~uint8](path string, b []byte, to *T, names []string) error {
	var s string
	if len(b) > 0 && b[0] == '"' && json.Unmarshal(b, &s) == nil {
		for i, name := range names {
			if s == name {
				*to = T(i)
				return nil
			}
		}
	}
	return fieldError(path, string(b), "write one of "+strings.Join(names, ", "))
}
