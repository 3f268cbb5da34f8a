package property

import (
	"fmt"
	"slices"
	"strings"
)

// A Table is a set of properties with unique names. It is immutable.
type Table struct {
	props  []Property // sorted by name
	byName map[string]int
}

// NewTable returns a table of copies of the properties. It returns ErrTable if
// one is declared wrongly: a malformed or repeated name, no prose, no type or
// scope, bounds the wrong way round, or a default that does not parse.
func NewTable(props ...Property) (*Table, error) {
	t := &Table{props: slices.Clone(props), byName: make(map[string]int, len(props))}
	slices.SortFunc(t.props, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	for i := range t.props {
		p := &t.props[i]
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrTable, show(p.Name), err)
		}
		if _, twice := t.byName[p.Name]; twice {
			return nil, fmt.Errorf("%w: %s is declared twice", ErrTable, p.Name)
		}
		t.byName[p.Name] = i
	}
	return t, nil
}

// MustTable is NewTable for tables that are part of the program: it panics where
// NewTable fails.
func MustTable(props ...Property) *Table {
	t, err := NewTable(props...)
	if err != nil {
		panic(err)
	}
	return t
}

func (p *Property) check() error {
	if err := nameError(p.Name); err != nil {
		return err
	}
	switch {
	case typeNames[p.Type] == "":
		return fmt.Errorf("no type")
	case scopeNames[p.Scope] == "":
		return fmt.Errorf("no scope")
	case strings.TrimSpace(p.Doc) == "":
		return fmt.Errorf("no prose")
	case p.Type == Enum && len(p.Values) == 0:
		return fmt.Errorf("an enum without values")
	case p.Bounds.Min > p.Bounds.Max || p.MinReal > p.MaxReal:
		return fmt.Errorf("bounds the wrong way round")
	case len(p.Synonyms) > 0 && p.Scope != Topic:
		return fmt.Errorf("synonyms of a broker property")
	case p.Unset && p.Default != "":
		return fmt.Errorf("both a default and none")
	}
	if p.Unset {
		return nil
	}
	if _, err := p.Parse(p.Default); err != nil {
		return fmt.Errorf("default: %w", err)
	}
	return nil
}

// nameError says what is wrong with a property's name. Names consist of lower
// case letters, digits and single dots, so that a name and the name of its
// environment variable determine each other.
func nameError(name string) error {
	if name == "" || len(name) > 128 {
		return fmt.Errorf("the name is empty or too long")
	}
	prev := byte('.')
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '.' || prev == '.') {
			return fmt.Errorf("the name has characters other than a-z, 0-9 and single dots")
		}
		prev = c
	}
	if prev == '.' {
		return fmt.Errorf("the name ends in a dot")
	}
	return nil
}

// All returns the properties, sorted by name. The slice must not be changed.
func (t *Table) All() []Property { return t.props }

// Lookup returns the property of that name, nil if there is none.
func (t *Table) Lookup(name string) *Property {
	i, ok := t.byName[name]
	if !ok {
		return nil
	}
	return &t.props[i]
}

// Parse returns the value that text has for the property of that name. The error
// is an *Error; that of an unknown name suggests a similar one.
func (t *Table) Parse(name, text string) (Value, error) {
	p := t.Lookup(name)
	if p == nil {
		return Value{}, t.Unknown(name)
	}
	return p.Parse(text)
}

// Unknown returns the error of a name that the table does not have.
func (t *Table) Unknown(name string) *Error {
	e := &Error{Kind: ErrUnknown, Name: name, Remedy: "remove it or correct the name"}
	if near := t.Nearest(name); near != "" {
		e.Remedy = "did you mean " + near + "?"
	}
	return e
}

// Nearest returns the name of the table that is most like the given one, or ""
// if none is like it.
func (t *Table) Nearest(name string) string {
	names := make([]string, len(t.props))
	for i := range t.props {
		names[i] = t.props[i].Name
	}
	return nearest(name, names)
}
