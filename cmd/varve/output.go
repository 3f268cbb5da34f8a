package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/urfave/cli/v2"
)

// output prints data to stdout, as tables for people or as JSON for programs,
// and notes to stderr.
type output struct {
	data, notes io.Writer
	json        bool
}

func newOutput(c *cli.Context) (output, error) {
	o := output{data: c.App.Writer, notes: c.App.ErrWriter}
	switch f := c.String("output"); f {
	case "table", "text":
	case "json":
		o.json = true
	default:
		return o, usageError{fmt.Errorf("--output %q is not known; write text or json", f)}
	}
	return o, nil
}

// note prints one line that is no data.
func (o output) note(format string, args ...any) {
	fmt.Fprintln(o.notes, oneLine(fmt.Sprintf(format, args...)))
}

// print prints v as JSON, or else the rows, the first of which is the header.
func (o output) print(v any, rows ...[]string) error {
	if o.json {
		return o.encode(v)
	}
	w := tabwriter.NewWriter(o.data, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			if cells[i] = oneLine(cell); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func (o output) encode(v any) error {
	e := json.NewEncoder(o.data)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// oneLine makes text fit for one line of a terminal: line ends become "; ",
// and other characters that are not printed become spaces. Texts come from
// plugins and servers.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.Join(lines, "; ")))
}

// compact renders a JSON value on one line.
func compact(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(raw)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return string(raw)
	}
	return strings.TrimSpace(b.String())
}
