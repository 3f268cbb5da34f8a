package invariant

import (
	"errors"
	"testing"
)

// violation runs f and returns the *Violation that it panicked with, or nil if
// it returned.
func violation(t *testing.T, f func()) (v *Violation) {
	t.Helper()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Violation:
			v = r
		default:
			t.Fatalf("panicked with %T (%v), want *Violation", r, r)
		}
	}()
	f()
	return nil
}

func TestCheck(t *testing.T) {
	if v := violation(t, func() { Check(true, "never %d", 1) }); v != nil {
		t.Errorf("a check that holds panicked: %v", v)
	}
	v := violation(t, func() { Check(false, "applied %d <= committed %d", 7, 5) })
	if v == nil {
		t.Fatal("a check that fails did not panic")
	}
	if got, want := v.Error(), "invariant: applied 7 <= committed 5"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestFail(t *testing.T) {
	v := violation(t, func() { Fail("state %q", "lost") })
	if v == nil || v.Text != `state "lost"` || v.Cause != nil {
		t.Errorf("Fail panicked with %+v", v)
	}
}

func TestCostlyFollowsTheBuildTag(t *testing.T) {
	runs := 0
	if v := violation(t, func() { Costly(func() error { runs++; return nil }) }); v != nil {
		t.Errorf("a costly check without an error panicked: %v", v)
	}
	if want := map[bool]int{false: 0, true: 1}[Enabled]; runs != want {
		t.Errorf("Enabled = %v, but the check ran %d times", Enabled, runs)
	}

	cause := errors.New("index and log differ")
	v := violation(t, func() { Costly(func() error { return cause }) })
	if !Enabled {
		if v != nil {
			t.Errorf("panicked with %v in a build without costly checks", v)
		}
		return
	}
	if v == nil || !errors.Is(v, cause) {
		t.Errorf("panicked with %v, want one that wraps %v", v, cause)
	}
}

func TestCheckWithoutArgumentsDoesNotAllocate(t *testing.T) {
	n := testing.AllocsPerRun(100, func() { Check(true, "always") })
	if n != 0 {
		t.Errorf("%v allocations per call, want 0", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		Check(i >= 0, "always")
	}
}
