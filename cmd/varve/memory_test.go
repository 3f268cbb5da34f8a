package main

import (
	"testing"

	"github.com/varvelog/varve/broker/config"
)

func TestBoundedMemoryIsTheSumOfTheSettings(t *testing.T) {
	load := func(set ...string) int64 {
		s, _, err := config.Load(config.Sources{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		return boundedMemory(s)
	}
	before := load()
	for _, c := range []struct {
		set  string
		more int64
	}{
		{"memory.request.bytes=512MiB", 2 * 256 << 20},
		{"memory.response.bytes=512MiB", 320 << 20},
		{"tail.cache.bytes=256MiB", 128 << 20},
		{"tier.read.memory.bytes=256MiB", 128 << 20},
	} {
		if got := load(c.set); got-before != c.more {
			t.Errorf("%s: %d more, want %d", c.set, got-before, c.more)
		}
	}
}

// The limit never stands so near to what lives that the collector spins.
func TestMemoryLimitFollowsWhatLives(t *testing.T) {
	const least = 1 << 30
	for live, want := range map[int64]int64{0: least, 600 << 20: least, 800 << 20: 1200 << 20, 4 << 30: 6 << 30} {
		if got := nextLimit(least, live); got != want {
			t.Errorf("%d alive: %d, want %d", live, got, want)
		}
	}
	if liveBytes() < 0 {
		t.Error("what lives is not known")
	}
}
