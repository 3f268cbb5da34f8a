package property

import (
	"errors"
	"fmt"
)

// Errors of settings. Every *Error is ErrInvalid and one of the others.
var (
	// ErrInvalid is a setting that is refused, for whatever reason.
	ErrInvalid = errors.New("invalid setting")
	// ErrUnknown is a name that no property has.
	ErrUnknown = errors.New("unknown setting")
	// ErrSyntax is a value that is not of the property's type.
	ErrSyntax = errors.New("malformed value")
	// ErrRange is a value outside the property's bounds.
	ErrRange = errors.New("value out of range")
	// ErrConflict is a value that another setting rules out.
	ErrConflict = errors.New("conflicting settings")
	// ErrReadOnly is a change at run time of what is read at start only.
	ErrReadOnly = errors.New("setting cannot be changed while running")
	// ErrTable is a declaration that is wrong.
	ErrTable = errors.New("wrong declaration")
)

// maxShown bounds how much of a name or value an error repeats, in bytes.
const maxShown = 120

// An Error is a refused setting. Its text is one line: name, value, what is
// wrong, what is allowed, what to do.
type Error struct {
	Kind    error  // ErrUnknown, ErrSyntax, ErrRange, ErrConflict or ErrReadOnly
	Name    string // as it was given
	Value   string // as it was given; Hidden for a secret
	Reason  string // what is wrong with it
	Allowed string // which values are taken; may be empty
	Remedy  string // what to do
}

// Error returns the error as one line.
func (e *Error) Error() string {
	var text string
	if e.Kind == ErrUnknown {
		text = fmt.Sprintf("unknown setting %s", show(e.Name))
	} else {
		text = fmt.Sprintf("%s = %s: %s", bare(e.Name), show(e.Value), e.Reason)
	}
	if e.Allowed != "" {
		text += "; allowed: " + e.Allowed
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap returns the kind and ErrInvalid.
func (e *Error) Unwrap() []error { return []error{e.Kind, ErrInvalid} }

// show quotes s and cuts it to what an error repeats.
func show(s string) string {
	if len(s) > maxShown {
		return fmt.Sprintf("%q and %d bytes more", s[:maxShown], len(s)-maxShown)
	}
	return fmt.Sprintf("%q", s)
}

// bare returns a well-formed name as it is and quotes any other.
func bare(name string) string {
	if nameError(name) != nil {
		return show(name)
	}
	return name
}

// refuse returns the error of a value that p does not take.
func (p *Property) refuse(kind error, value, reason string) *Error {
	e := &Error{Kind: kind, Name: p.Name, Value: value, Reason: reason, Allowed: p.Allowed(), Remedy: p.Remedy}
	if p.Sensitive() {
		e.Value, e.Reason = Hidden, "the value is refused"
	}
	if e.Remedy == "" {
		e.Remedy = p.usualRemedy()
	}
	return e
}

// Conflict returns the error of a value that another setting rules out.
func (p *Property) Conflict(value, reason, remedy string) *Error {
	e := &Error{Kind: ErrConflict, Name: p.Name, Value: value, Reason: reason, Remedy: remedy}
	if p.Sensitive() {
		e.Value = Hidden
	}
	return e
}

func (p *Property) usualRemedy() string {
	if p.Unset {
		return "set it to an allowed value or remove it"
	}
	if p.Default == "" {
		return "set it to an allowed value or remove it to get the default"
	}
	return fmt.Sprintf("set it to an allowed value or remove it to get the default, %s", p.Default)
}
