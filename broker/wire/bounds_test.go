package wire

import (
	"testing"
	"time"
)

// TestPressed: who holds memory that others wait for has the less time the more it
// holds and the more of them wait, within bounds, and more for what it transfers.
func TestPressed(t *testing.T) {
	set := Settings{PressedMax: 2 * time.Second, BytesPerSecondMin: 1 << 20}
	const total = 64 << 20
	for _, c := range []struct {
		waiters    int
		held, done int64
		want       time.Duration
	}{
		{0, total / 16, 0, 2 * time.Second},
		{0, total / 32, 0, 4 * time.Second},
		{0, total / 8, 0, time.Second},
		{8, total / 16, 0, time.Second},
		{24, total / 16, 0, 500 * time.Millisecond},
		{1000, total, 0, 100 * time.Millisecond},            // at least a part
		{0, 1, 0, 2 * time.Minute},                          // and at most
		{0, total / 16, 3 << 20, (2 + 3) * time.Second},     // what it took counts for it
		{1000, total, 1 << 20, 1100 * time.Millisecond},     // however pressed
		{0, 0, 0, 2 * time.Minute},                          // it holds nothing
		{8, total / 32, 512 << 10, 2500 * time.Millisecond}, // all of it
	} {
		if got := set.pressed(c.waiters, c.held, total, c.done, 20); got.Round(time.Millisecond) != c.want {
			t.Errorf("%d wait, %d held, %d done: %v, want %v", c.waiters, c.held, c.done, got, c.want)
		}
	}
}

// TestReservationsShrink: an answer gets a sixteenth of what is free, and what it
// must have in any case, so that many have room beside each other.
func TestReservationsShrink(t *testing.T) {
	b := newBudget(1600)
	take := func(least, most, want int64) {
		t.Helper()
		got, w := b.takeSome(least, most, func() {})
		if got != want || w != nil {
			t.Errorf("between %d and %d: %d, waits: %t, want %d", least, most, got, w != nil, want)
		}
	}
	take(1, 5000, 100)
	take(1, 50, 50)
	take(650, 5000, 650)
	take(1, 5000, 50)
	if _, w := b.takeSome(5000, 5000, func() {}); w == nil {
		t.Error("all of it, while some is taken")
	} else {
		b.cancel(w)
	}
	b.give(850)
	take(5000, 5000, 1600)
	b.give(1600)
}

// TestSmallAnswersWaitAtTwice: requests with small answers are read while the
// memory of answers is used up, until twice as much is taken as there is.
func TestSmallAnswersWaitAtTwice(t *testing.T) {
	g := newRig(t, long(Settings{AnswerBytes: 4 << 20, Known: smallFetch}), handlerFunc(echo))
	total := g.s.replies.total
	g.s.replies.charge(total)
	small, other := g.dial(), g.dial()
	other.send(keyMetadata, 0, 1, []byte("waits"))
	g.eventually("any other waits", func() bool { return g.s.replies.waiters() == 1 })
	small.send(keyFetch, 0, 1, []byte("goes on"))
	small.expect(1, []byte("goes on"))
	g.s.replies.charge(total)
	small.send(keyFetch, 0, 2, []byte("waits too"))
	g.eventually("both wait", func() bool { return g.s.replies.waiters() == 2 })
	g.s.replies.give(2 * total)
	small.expect(2, []byte("waits too"))
	other.expect(1, []byte("waits"))
}

// TestProduceHasItsShare: however much memory produce holds, other requests have
// theirs, and the other way round.
func TestProduceHasItsShare(t *testing.T) {
	g := newRig(t, long(Settings{}), handlerFunc(echo))
	small, large := g.s.Budgets()
	for _, c := range []struct {
		b            *budget
		total        int64
		goes, waits  int16
		body, waited int32
	}{{g.s.large, large, keyMetadata, keyProduce, 1, 2}, {g.s.small, small, keyProduce, keyMetadata, 3, 4}} {
		c.b.charge(c.total)
		first, second := g.dial(), g.dial()
		second.send(c.waits, 3, c.waited, []byte("waits"))
		g.eventually("it waits", func() bool { return c.b.waiters() == 1 })
		first.send(c.goes, 3, c.body, []byte("goes on"))
		first.expect(c.body, []byte("goes on"))
		c.b.give(c.total)
		second.expect(c.waited, []byte("waits"))
	}
}
