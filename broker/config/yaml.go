package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// yamlDepthMax bounds the nesting of a YAML file; a setting's name has fewer
// parts than that.
const yamlDepthMax = 16

// parseYAML reads a YAML file: one map, whose nested names are joined by dots. A
// sequence of scalars is a list. Scalars are taken as they are written, so that
// no number or boolean changes its looks. Settings come in the order of the file.
func parseYAML(f File) (out []entry, err error) {
	if len(f.Data) > MaxFileBytes {
		return nil, fmt.Errorf("%s: %w", f.Name, errTooLarge)
	}
	// The parser reports errors of its own by panicking and catching them;
	// whatever it fails to catch must not end the process.
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("%s: %w: %v", f.Name, errYAML, r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(f.Data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", f.Name, errYAML, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: more than one document", f.Name, errYAML)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil
	}
	w := yamlWalk{file: f.Name, seen: map[string]bool{}}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil // comments only
	}
	if root.Kind != yaml.MappingNode {
		return nil, w.refuse(root, "the top is not a map of settings")
	}
	if err := w.mapping("", root, 1); err != nil {
		return nil, err
	}
	return w.out, nil
}

type yamlWalk struct {
	file string
	seen map[string]bool
	out  []entry
}

func (w *yamlWalk) refuse(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w: %s", w.file, n.Line, errYAML, fmt.Sprintf(format, args...))
}

func (w *yamlWalk) mapping(prefix string, n *yaml.Node, depth int) error {
	if depth > yamlDepthMax {
		return w.refuse(n, "nested deeper than %d levels", yamlDepthMax)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			return w.refuse(key, "a name must be plain text")
		}
		name := key.Value
		if prefix != "" {
			name = prefix + "." + name
		}
		if value.Kind == yaml.MappingNode {
			if err := w.mapping(name, value, depth+1); err != nil {
				return err
			}
			continue
		}
		text, err := w.value(name, value)
		if err != nil {
			return err
		}
		if w.seen[name] {
			return w.refuse(key, "%.120q stands twice", name)
		}
		w.seen[name] = true
		w.out = append(w.out, entry{KV{name, text}, w.file + ":" + strconv.Itoa(key.Line)})
	}
	return nil
}

// value returns the text of a scalar or of a sequence of scalars.
func (w *yamlWalk) value(name string, n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return "", w.refuse(n, "%.120q has no value: write one, or remove the line to get the default", name)
		}
		return n.Value, nil
	case yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" {
				return "", w.refuse(item, "an item of %.120q is not plain text", name)
			}
			items[i] = item.Value
		}
		return strings.Join(items, ","), nil
	case yaml.AliasNode:
		return "", w.refuse(n, "%.120q is an alias, which settings do not have", name)
	}
	return "", w.refuse(n, "%.120q is not a value", name)
}
