package metric

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Reference renders the table in Markdown: a table per section.
func (t *Table) Reference() []byte {
	var out bytes.Buffer
	section := ""
	for _, d := range t.descs {
		if d.Section != section {
			section = d.Section
			fmt.Fprintf(&out, "\n## %s\n\n| metric | kind | labels | |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s%s |\n", d.Name, d.Kind, d.labelText(), d.Help, d.boundText())
	}
	return out.Bytes()
}

func (d *Desc) labelText() string {
	var parts []string
	for _, l := range d.Labels {
		text := "`" + l.Name + "`"
		switch {
		case len(l.Values) > 0:
			text += ": " + strings.Join(l.Values, ", ")
		case l.Max > 0:
			text += fmt.Sprintf(" (at most %d)", l.Max)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func (d *Desc) boundText() string {
	if len(d.Bounds) == 0 {
		return ""
	}
	text := func(v int64) string { return strconv.FormatFloat(float64(v)/d.Scale, 'g', -1, 64) }
	return fmt.Sprintf(" %d buckets up to %s.", len(d.Bounds), text(d.Bounds[len(d.Bounds)-1]))
}
