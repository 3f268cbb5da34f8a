package storage

import (
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

func TestPlanRetention(t *testing.T) {
	seg := func(base, end ident.Offset, bytes, maxTime int64) SegmentInfo {
		return SegmentInfo{Base: base, End: end, Bytes: bytes, MaxTimestamp: maxTime, FirstTimestamp: maxTime - 50}
	}
	three := []SegmentInfo{seg(0, 10, 100, 1000), seg(10, 20, 100, 2000), seg(20, 30, 100, 3000)}
	active := seg(30, 40, 50, 4000)
	empty := SegmentInfo{Base: 30, End: 30, MaxTimestamp: -1, FirstTimestamp: -1}
	limits := func(ms, bytes, segmentMs int64) RetentionSettings {
		return RetentionSettings{Ms: ms, Bytes: bytes, SegmentMs: segmentMs, ActiveSinceMs: Unlimited, UpTo: 1000}
	}
	upTo := func(s RetentionSettings, off ident.Offset) RetentionSettings { s.UpTo = off; return s }
	since := func(s RetentionSettings, ms int64) RetentionSettings { s.ActiveSinceMs = ms; return s }
	cases := []struct {
		name     string
		now      int64
		s        RetentionSettings
		segs     []SegmentInfo
		active   SegmentInfo
		logStart ident.Offset
		start    ident.Offset
		roll     bool
	}{
		{"unlimited", 1 << 40, limits(-1, -1, -1), three, active, 0, 0, false},
		{"empty log", 1 << 40, limits(0, 0, 0), nil, empty, 30, 30, false},
		{"time: just not yet", 2000, limits(1000, -1, -1), three, active, 0, 0, false},
		{"time: one", 2001, limits(1000, -1, -1), three, active, 0, 10, false},
		{"time: two", 3001, limits(1000, -1, -1), three, active, 0, 20, false},
		{"time: all closed", 5000, limits(1000, -1, -1), three, active, 0, 30, false},
		{"time: active too", 5001, limits(1000, -1, -1), three, active, 0, 40, true},
		{"time: empty active stays", 1 << 40, limits(1000, -1, -1), three, empty, 0, 30, false},
		{"future timestamp blocks", 5001, limits(1000, -1, -1), []SegmentInfo{seg(0, 10, 100, 9000), seg(10, 20, 100, 1)}, active, 0, 0, false},
		{"no timestamp blocks", 5001, limits(1000, -1, -1), []SegmentInfo{seg(0, 10, 100, -1), seg(10, 20, 100, 1)}, active, 0, 0, false},
		{"size: fits", 0, limits(-1, 350, -1), three, active, 0, 0, false},
		{"size: over, but not by a segment", 0, limits(-1, 251, -1), three, active, 0, 0, false},
		{"size: over by a segment", 0, limits(-1, 250, -1), three, active, 0, 10, false},
		{"size: two", 0, limits(-1, 100, -1), three, active, 0, 20, false},
		{"size: active stays", 0, limits(-1, 1, -1), three, active, 0, 30, false},
		{"size: nothing", 0, limits(-1, 0, -1), three, active, 0, 40, true},
		{"size counts from the start", 0, limits(-1, 250, -1), three, active, 10, 10, false},
		{"both: size goes further", 2001, limits(1000, 100, -1), three, active, 0, 20, false},
		{"both: time goes further", 3001, limits(1000, 250, -1), three, active, 0, 20, false},
		{"both: size passes a future timestamp", 5000, limits(1000, 150, -1), []SegmentInfo{seg(0, 10, 100, 9000), seg(10, 20, 100, 1)}, active, 0, 20, false},
		{"start within a segment", 2001, limits(1000, -1, -1), three, active, 5, 10, false},
		{"start above", 2001, limits(1000, -1, -1), three, active, 15, 15, false},
		{"tier holds less", 5001, upTo(limits(1000, -1, -1), 20), three, active, 0, 20, true},
		{"tier ends within a segment", 3001, upTo(limits(1000, -1, -1), 15), three, active, 0, 10, false},
		{"tier holds nothing", 5001, upTo(limits(1000, -1, -1), 0), three, active, 0, 0, true},
		{"segment time: span", 0, limits(-1, -1, 49), three, active, 0, 0, true},
		{"segment time: span fits", 0, limits(-1, -1, 50), three, active, 0, 0, false},
		{"segment time: idle", 9051, since(limits(-1, -1, 50), 9000), three, active, 0, 0, true},
		{"segment time: not yet idle", 9050, since(limits(-1, -1, 50), 9000), three, active, 0, 0, false},
		{"segment time: empty", 1 << 40, since(limits(-1, -1, 50), 0), three, empty, 0, 0, false},
		{"segment time with retention", 2001, limits(1000, -1, 49), three, active, 0, 10, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			start, roll := PlanRetention(c.now, c.s, c.segs, c.active, c.logStart)
			if start != c.start || roll != c.roll {
				t.Fatalf("start %d, roll %v; want %d, %v", start, roll, c.start, c.roll)
			}
		})
	}
}
