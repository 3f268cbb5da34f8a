package sim

import (
	"time"
	"unsafe"
)

// clock is a machine's clock: how far its wall clock was set ahead of virtual
// time.
type clock struct {
	ahead time.Duration
	set   bool // it may be set in this run
}

// instant is a time.Time as the package time lays it out: with a reading of the
// wall clock and one of a clock that nobody sets, which Sub, Before and After
// go by. A broker's times are such, and no function of the package makes one
// whose readings differ from the real clocks'.
type instant struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const (
	hasMonotonic = 1 << 63
	secondsShift = 30
	year1885     = -2682288000 // seconds since 1970, where such a wall reading begins
)

// show returns what time.Now returns on the machine.
func (c clock) show(now time.Time) time.Time {
	if !c.set {
		return now
	}
	wall := now.Add(c.ahead)
	t := instant{
		wall: hasMonotonic | uint64(wall.Unix()-year1885)<<secondsShift | uint64(wall.Nanosecond()),
		ext:  int64(now.Sub(begin)) + int64(time.Hour),
		loc:  time.UTC,
	}
	return *(*time.Time)(unsafe.Pointer(&t))
}
