package plugins

import "testing"

// TestDecide has all cases: failures by verdict, to dead-letter, to answer; x
// reject, l dead-letter, d drop, p pass.
func TestDecide(t *testing.T) {
	letters := map[Fate]byte{FateReject: 'x', FateDeadLetter: 'l', FateDrop: 'd', FatePass: 'p'}
	for _, row := range []struct {
		policy    Policy
		sensitive bool
		open      bool
		want      string
	}{
		{OnFailureReject, false, false, "xlx"},
		{OnFailureReject, false, true, "xxx"},
		{OnFailureReject, true, false, "xlx"},
		{OnFailureReject, true, true, "xxx"},
		{OnFailureDeadLetter, false, false, "lll"},
		{OnFailureDeadLetter, false, true, "xxx"},
		{OnFailureDeadLetter, true, false, "lll"},
		{OnFailureDeadLetter, true, true, "xxx"},
		{OnFailureDrop, false, false, "dld"},
		{OnFailureDrop, false, true, "dxd"},
		{OnFailureDrop, true, false, "dld"},
		{OnFailureDrop, true, true, "dxd"},
		{OnFailurePass, false, false, "plp"},
		{OnFailurePass, false, true, "pxp"},
		{OnFailurePass, true, false, "xlx"},
		{OnFailurePass, true, true, "xxx"},
		{200, false, false, "xxx"},
	} {
		s := StageSpec{OnFailure: row.policy, Sensitive: row.sensitive}
		var got string
		for f := FailedByVerdict; f < failureCount; f++ {
			got += string(letters[s.Decide(f, row.open)])
		}
		if got != row.want || s.Decide(failureCount, row.open) != FateReject {
			t.Errorf("%+v: got %s", row, got)
		}
	}
}

func TestBreaker(t *testing.T) {
	spec := BreakerSpec{Ratio: 0.5, Window: 100}
	type step struct {
		records, failures int
		open              bool
	}
	for name, steps := range map[string][]step{
		"too little seen":           {{49, 49, false}, {0, 0, false}, {1, 1, true}},
		"one bad batch":             {{1, 1, false}, {1000, 1000, true}},
		"at the ratio":              {{100, 50, true}},
		"below it":                  {{100, 49, false}},
		"closes when records heal":  {{100, 100, true}, {40, 0, true}, {60, 0, false}},
		"old failures are outlived": {{50, 50, true}, {49, 0, true}, {1, 0, false}},
		"good history opens late":   {{50, 0, false}, {49, 49, false}, {1, 1, true}},
		"nonsense is bounded":       {{-5, 3, false}, {50, 500, true}, {49, -7, true}, {1, 0, false}},
	} {
		var b Breaker
		for i, s := range steps {
			b.Observe(spec, s.records, s.failures)
			if b.Open(spec) != s.open {
				t.Errorf("%s, step %d: open is %v, %+v", name, i, !s.open, b)
			}
		}
	}
	var never Breaker
	never.Observe(BreakerSpec{Window: 10}, 1000, 1000)
	if never.Open(BreakerSpec{Window: 10}) {
		t.Error("a ratio of 0 opened")
	}
}
