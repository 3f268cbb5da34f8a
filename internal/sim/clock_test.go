package sim

import (
	"testing"
	"time"
)

func TestClockShowsTwoReadings(t *testing.T) {
	c := clock{ahead: time.Hour, set: true}
	a := c.show(begin.Add(time.Second))
	c.ahead = -2 * time.Hour
	b := c.show(begin.Add(3*time.Second + 5*time.Nanosecond))
	if got := b.Sub(a); got != 2*time.Second+5*time.Nanosecond {
		t.Errorf("between two readings are %v", got)
	}
	if !a.Before(b) || !b.After(a.Add(time.Second)) {
		t.Error("setting the wall clock changes the order")
	}
	if a.UnixMilli() != begin.Add(time.Hour+time.Second).UnixMilli() || b.UnixMilli() != begin.Add(3*time.Second-2*time.Hour).UnixMilli() {
		t.Errorf("the wall clock shows %v and %v", a, b)
	}
	if a.Round(0).Sub(b.Round(0)) != 3*time.Hour-2*time.Second-5*time.Nanosecond {
		t.Errorf("without the second reading the times are %v and %v", a.Round(0), b.Round(0))
	}
}
