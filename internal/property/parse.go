package property

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of any value.
const (
	// MaxValueBytes bounds the text of a value.
	MaxValueBytes = 64 << 10
	// defaultItemsMax bounds the items of a List that says nothing else.
	defaultItemsMax = 256
)

// Parse returns the value that text has for the property. Spaces around it do
// not count. The error is an *Error.
func (p *Property) Parse(text string) (Value, error) {
	if len(text) > MaxValueBytes {
		return Value{}, p.refuse(ErrRange, text, fmt.Sprintf("longer than %d bytes", MaxValueBytes))
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return Value{}, p.refuse(ErrSyntax, text, "not UTF-8 text without NUL")
	}
	v := Value{typ: p.Type, secret: p.Sensitive()}
	trimmed := strings.TrimSpace(text)
	var err *Error
	switch {
	case p.Type == Bool:
		err = p.parseBool(&v, trimmed)
	case p.Type.numeric():
		err = p.parseNumber(&v, trimmed)
	case p.Type == Double:
		err = p.parseDouble(&v, trimmed)
	case p.Type == List:
		err = p.parseList(&v, trimmed)
	case p.Type == Enum:
		v.s = trimmed
		if !slices.Contains(p.Values, trimmed) {
			err = p.refuse(ErrRange, text, p.notOneOf(trimmed))
		}
	case p.Type == Password:
		v.s = text // spaces may belong to a secret
	default:
		v.s = trimmed
	}
	if err != nil {
		return Value{}, err
	}
	if p.Check != nil {
		if err := p.Check(v); err != nil {
			return Value{}, p.checked(text, err)
		}
	}
	return v, nil
}

// checked turns what Check found into an *Error; Check may return one itself,
// with its own remedy.
func (p *Property) checked(text string, err error) *Error {
	var own *Error
	if !errors.As(err, &own) {
		return p.refuse(ErrRange, text, err.Error())
	}
	e := p.refuse(own.Kind, text, own.Reason)
	if own.Value != "" {
		e.Value = own.Value // Check shows the value in its own way, or hides it
	}
	if own.Allowed != "" {
		e.Allowed = own.Allowed
	}
	if own.Remedy != "" {
		e.Remedy = own.Remedy
	}
	return e
}

func (p *Property) parseBool(v *Value, text string) *Error {
	switch strings.ToLower(text) {
	case "true":
		v.n = 1
	case "false":
	default:
		return p.refuse(ErrSyntax, text, "not a boolean")
	}
	return nil
}

func (p *Property) parseNumber(v *Value, text string) *Error {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return p.refuse(ErrRange, text, "exceeds 64 bits")
	case err != nil && units[p.Type] == nil:
		return p.refuse(ErrSyntax, text, "not a whole number")
	case err != nil:
		var human error
		if n, human = parseUnits(p.Type, text); human != nil {
			return p.refuse(ErrSyntax, text, human.Error())
		}
	}
	b := p.bounds()
	if !slices.Contains(p.Also, n) {
		if n < b.Min {
			return p.refuse(ErrRange, text, "below the minimum")
		}
		if n > b.Max {
			return p.refuse(ErrRange, text, "above the maximum")
		}
	}
	v.n = n
	return nil
}

func (p *Property) parseDouble(v *Value, text string) *Error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return p.refuse(ErrSyntax, text, "not a number")
	}
	if (p.MinReal != 0 || p.MaxReal != 0) && (f < p.MinReal || f > p.MaxReal) {
		return p.refuse(ErrRange, text, "outside the bounds")
	}
	v.f = f
	return nil
}

func (p *Property) parseList(v *Value, text string) *Error {
	if text == "" {
		return nil
	}
	most := p.ItemsMax
	if most == 0 {
		most = defaultItemsMax
	}
	if n := 1 + strings.Count(text, ","); n > most {
		return p.refuse(ErrRange, text, fmt.Sprintf("%d items, at most %d", n, most))
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		switch {
		case item == "":
			return p.refuse(ErrSyntax, text, "an item is empty")
		case p.Values != nil && !slices.Contains(p.Values, item):
			return p.refuse(ErrRange, text, p.notOneOf(item))
		case slices.Contains(v.list, item):
			return p.refuse(ErrRange, text, "item "+show(item)+" stands twice")
		}
		v.list = append(v.list, item)
	}
	return nil
}

// notOneOf says that item is none of the values, and which may be meant.
func (p *Property) notOneOf(item string) string {
	for _, value := range p.Values {
		if strings.EqualFold(value, item) {
			return show(item) + " must be written " + value
		}
	}
	if near := nearest(item, p.Values); near != "" {
		return show(item) + " is none of the values, did you mean " + near + "?"
	}
	return show(item) + " is none of the values"
}

// parseUnits reads a human form: sizes have one number and one unit, durations
// one or more, from the largest unit down.
func parseUnits(t Type, text string) (int64, error) {
	var total int64
	last := int64(math.MaxInt64)
	rest := text
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 {
			return 0, errors.New(unitHelp[t])
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, errors.New("exceeds 64 bits")
		}
		rest = strings.TrimLeft(rest[digits:], " ")
		end := strings.IndexAny(rest, "0123456789 ")
		if end < 0 {
			end = len(rest)
		}
		size, err := unitSize(t, rest[:end])
		if err != nil {
			return 0, err
		}
		if size >= last || (t == Bytes && last != math.MaxInt64) {
			return 0, errors.New(unitHelp[t])
		}
		if n > (math.MaxInt64-total)/size {
			return 0, errors.New("exceeds 64 bits")
		}
		total, last, rest = total+n*size, size, strings.TrimLeft(rest[end:], " ")
	}
	if last == math.MaxInt64 {
		return 0, errors.New("empty")
	}
	return total, nil
}

var unitHelp = map[Type]string{
	Bytes:    "not a size: write bytes as a whole number, or a whole number with B, KiB, MiB, GiB or TiB, such as 64MiB",
	Duration: "not a duration: write milliseconds as a whole number, or whole numbers with d, h, m, s or ms, such as 7d or 1h30m",
}

// unitSize returns the size of a unit. Units of 1,000 bytes are refused because
// half of the world means 1,024 by them.
func unitSize(t Type, name string) (int64, error) {
	for _, u := range units[t] {
		if name == u.name || (t == Bytes && strings.EqualFold(name, u.name)) {
			return u.size, nil
		}
	}
	if t == Bytes {
		switch strings.ToLower(name) {
		case "k", "kb", "m", "mb", "g", "gb", "t", "tb":
			return 0, fmt.Errorf("unit %s is ambiguous, 1000 or 1024: write %siB", show(name), strings.ToUpper(name[:1]))
		}
	}
	return 0, errors.New(unitHelp[t])
}
