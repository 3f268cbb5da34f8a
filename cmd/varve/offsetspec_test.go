package main

import (
	"strings"
	"testing"
	"time"
)

func TestParsePlace(t *testing.T) {
	local := time.Date(2026, 1, 31, 12, 0, 0, 0, time.Local).UnixMilli()
	for in, want := range map[string]place{
		"start": {kind: placeStart}, "earliest": {kind: placeStart}, "end": {kind: placeEnd}, "latest": {kind: placeEnd},
		"0": {placeOffset, 0}, "42": {placeOffset, 42}, "-10": {placeLast, 10}, "9223372036854775807": {placeOffset, 1<<63 - 1},
		"@1769860800000": {placeTime, 1769860800000}, "@2026-01-31T12:00:00Z": {placeTime, 1769860800000},
		"@2026-01-31T12:00:00.5+01:00": {placeTime, 1769857200500}, "@2026-01-31 12:00:00": {placeTime, local}, "@2026-01-31T12:00": {placeTime, local},
	} {
		if got, err := parsePlace(in); err != nil || got != want {
			t.Errorf("%q: %+v %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "is empty", "x": "is no offset", "-0": "is no offset", "-x": "is no offset", "+5": "is no offset", "1.5": "is no offset",
		"9223372036854775808": "is no offset", "@": "is no time", "@-5": "is no time", "@tomorrow": "is no time",
	} {
		if _, err := parsePlace(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	b := bounds{10, 20}
	for _, c := range []struct {
		place place
		want  int64
	}{
		{place{kind: placeStart}, 10}, {place{kind: placeEnd}, 20}, {place{placeOffset, 15}, 15}, {place{placeOffset, 3}, 10},
		{place{placeOffset, 30}, 20}, {place{placeLast, 1}, 19}, {place{placeLast, 10}, 10}, {place{placeLast, 11}, 10},
		{place{placeLast, 1<<63 - 1}, 10}, {place{placeTime, 99}, 17},
	} {
		if got := c.place.resolve(b, 17); got != c.want {
			t.Errorf("%+v: %d, want %d", c.place, got, c.want)
		}
	}
}

func TestLocator(t *testing.T) {
	s := spot{"t", 0}
	l := locator{bounds: map[spot]bounds{s: {10, 20}}, place: place{placeTime, 1}}
	if got := l.at(s); got != 20 {
		t.Errorf("no record at the time: %d, want the end", got)
	}
	l.atTime = map[spot]int64{s: 12}
	if got := l.at(s); got != 12 {
		t.Errorf("a record at the time: %d, want 12", got)
	}
}
