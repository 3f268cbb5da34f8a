package property

import (
	"fmt"
	"math"
	"strings"
)

// Type is what a property's value is.
type Type uint8

// The types. Bytes are a number of bytes, Duration is a number of milliseconds;
// both take Kafka's plain integers and human forms ("64MiB", "7d"). A List is
// comma-separated. A Password is a String that is never shown.
const (
	Bool Type = iota + 1
	Int
	Long
	Bytes
	Duration
	Double
	String
	List
	Enum
	Password
)

var typeNames = map[Type]string{
	Bool: "boolean", Int: "int", Long: "long", Bytes: "bytes", Duration: "duration in ms", Double: "double",
	String: "string", List: "list", Enum: "enum", Password: "password",
}

// String returns the name of the type as the reference page shows it.
func (t Type) String() string { return typeNames[t] }

// numeric reports whether values are whole numbers.
func (t Type) numeric() bool { return t == Int || t == Long || t == Bytes || t == Duration }

// Scope says where a property can be set.
type Scope uint8

// The scopes. A StaticBroker property is read at start; a DynamicBroker property
// may also be altered while the cluster runs; a Topic property belongs to one
// topic.
const (
	StaticBroker Scope = iota + 1
	DynamicBroker
	Topic
)

var scopeNames = map[Scope]string{StaticBroker: "broker, at start", DynamicBroker: "broker, dynamic", Topic: "topic"}

// String returns the name of the scope as the reference page shows it.
func (s Scope) String() string { return scopeNames[s] }

// Bounds are the whole numbers that a numeric property takes, both ends
// included, in the property's own unit. The zero value means every number of
// the type.
type Bounds struct {
	Min, Max int64
}

// AtLeast returns the bounds from low up to what the type holds.
func AtLeast(low int64) Bounds { return Bounds{Min: low, Max: math.MaxInt64} }

// Between returns the bounds from low to high.
func Between(low, high int64) Bounds { return Bounds{Min: low, Max: high} }

// A Synonym is a broker property that gives a topic property its default. Scale
// is how many of the topic property's units one unit of the synonym has: 60000
// for minutes where the topic has milliseconds.
type Synonym struct {
	Name  string
	Scale int64 // 0 counts as 1
}

// Factor returns the scale, at least 1.
func (s Synonym) Factor() int64 { return max(s.Scale, 1) }

// A Property declares one setting. It is read-only once it is in a Table.
type Property struct {
	Name    string
	Type    Type
	Default string // parsed like any other value; of no meaning if Unset
	// Unset means that there is no default: as long as nothing sets the
	// property, it has no value. Such a property says in Doc what then holds.
	Unset bool
	// DefaultDoc is what the reference page shows as the default where the real
	// one depends on other properties.
	DefaultDoc string

	Bounds   Bounds  // Int, Long, Bytes, Duration
	Also     []int64 // numbers outside Bounds that have a meaning, such as -1
	MinReal  float64 // Double; both 0 means every finite number
	MaxReal  float64
	Values   []string // Enum: the values; List: the items, or nil for any
	ItemsMax int      // List: at most so many items; 0 means 256
	Check    func(Value) error
	Remedy   string // what to do about a refused value; empty for the usual one
	Scope    Scope
	Synonyms []Synonym // of a topic property, by precedence
	Secret   bool      // never shown; implied by Password
	NoEffect bool      // accepted and shown for compatibility, changes nothing
	Since    string    // the release that introduced it
	Doc      string    // prose: what it does and what else to know
}

// Sensitive reports whether the value must not be shown.
func (p *Property) Sensitive() bool { return p.Secret || p.Type == Password }

// ReadOnly reports whether the property cannot be altered while the broker runs.
func (p *Property) ReadOnly() bool { return p.Scope == StaticBroker }

// HasDefault reports whether the property has a value when nothing sets it.
func (p *Property) HasDefault() bool { return !p.Unset }

// bounds returns the effective bounds of a numeric property.
func (p *Property) bounds() Bounds {
	b := p.Bounds
	if b == (Bounds{}) {
		b = Bounds{Min: math.MinInt64, Max: math.MaxInt64}
	}
	if p.Type == Int {
		b.Min, b.Max = max(b.Min, math.MinInt32), min(b.Max, math.MaxInt32)
	}
	return b
}

// MaxInt returns the greatest whole number that a numeric property takes.
func (p *Property) MaxInt() int64 { return p.bounds().Max }

// Allowed says in words which values the property takes.
func (p *Property) Allowed() string {
	switch {
	case p.Type == Bool:
		return "true or false"
	case p.Type == Enum:
		return "one of " + strings.Join(p.Values, ", ")
	case p.Type == List && p.Values != nil:
		return "a comma-separated list of " + strings.Join(p.Values, ", ")
	case p.Type == List:
		return "a comma-separated list"
	case p.Type == Double && p.MinReal == 0 && p.MaxReal == 0:
		return "a number"
	case p.Type == Double:
		return fmt.Sprintf("a number from %v to %v", p.MinReal, p.MaxReal)
	case p.Type.numeric():
		return p.allowedNumbers()
	}
	return "text"
}

func (p *Property) allowedNumbers() string {
	b := p.bounds()
	text := ""
	switch {
	case b.Min == math.MinInt64 && b.Max == math.MaxInt64:
		text = "a whole number"
	case b.Max == math.MaxInt64 || (p.Type == Int && b.Max == math.MaxInt32):
		text = "at least " + Human(p.Type, b.Min)
	default:
		text = "from " + Human(p.Type, b.Min) + " to " + Human(p.Type, b.Max)
	}
	for _, n := range p.Also {
		text += fmt.Sprintf(", or %d", n)
	}
	switch p.Type {
	case Bytes:
		text += " (bytes)"
	case Duration:
		text += " (milliseconds)"
	}
	return text
}

// units of the human forms, largest first.
var units = map[Type][]unit{
	Bytes: {{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}},
	Duration: {
		{"d", 24 * 60 * 60 * 1000}, {"h", 60 * 60 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1},
	},
}

type unit struct {
	name string
	size int64
}

// Human returns a whole number, and behind it in brackets the largest unit
// that it is a multiple of, as in "604800000 (7d)".
func Human(t Type, n int64) string {
	if n > 0 {
		for _, u := range units[t] {
			if u.size > 1 && n%u.size == 0 {
				return fmt.Sprintf("%d (%d%s)", n, n/u.size, u.name)
			}
		}
	}
	return fmt.Sprint(n)
}
