package plugins

import "testing"

// Dead letters are the default where they are configured, and what is written
// out says so, so that reading it again gives the same.
func TestDefaultPolicy(t *testing.T) {
	for _, c := range []struct {
		more string
		want Policy
	}{
		{``, OnFailureReject},
		{`, "dead_letter": {}`, OnFailureDeadLetter},
		{`, "dead_letter": {"topic": "bad"}`, OnFailureDeadLetter},
		{`, "dead_letter": {"topic": "bad"}, "on_failure": "reject"`, OnFailureReject},
		{`, "on_failure": "drop", "dead_letter": {"topic": "bad"}`, OnFailureDrop},
	} {
		s, err := ParseStage([]byte(`{"plugin": "p", "hook": "transform"` + c.more + `}`))
		if err != nil || s.OnFailure != c.want {
			t.Errorf("%s: %v, %v", c.more, s.OnFailure, err)
			continue
		}
		again, err := ParseStage(s.JSON())
		if err != nil || again.OnFailure != c.want {
			t.Errorf("%s: written as %s, read as %v, %v", c.more, s.JSON(), again.OnFailure, err)
		}
	}
}
