package invariant

import "fmt"

// Violation is the value that a failed check panics with. It is an error, so a
// recover may wrap it and errors.As finds it again.
type Violation struct {
	// Text says what should have held, with the values that broke it.
	Text string
	// Cause is what a costly check returned, or nil.
	Cause error
}

// Error returns the text with the prefix "invariant: ".
func (v *Violation) Error() string { return "invariant: " + v.Text }

// Unwrap returns the cause.
func (v *Violation) Unwrap() error { return v.Cause }

// Check panics with a *Violation unless cond holds. Format and args follow
// fmt.Sprintf and say what should have held. They are formatted only on
// failure, but args are boxed on every call: on a hot path either pass none, or
// test the condition first and call Fail.
func Check(cond bool, format string, args ...any) {
	if !cond {
		Fail(format, args...)
	}
}

// Fail panics with a *Violation. Format and args follow fmt.Sprintf.
func Fail(format string, args ...any) {
	panic(&Violation{Text: fmt.Sprintf(format, args...)})
}

// Costly runs check in builds with the tag "invariants" and panics with a
// *Violation if it returns an error. In other builds check is not called, so it
// must change nothing that the program reads.
func Costly(check func() error) {
	if !Enabled {
		return
	}
	if err := check(); err != nil {
		panic(&Violation{Text: err.Error(), Cause: err})
	}
}
