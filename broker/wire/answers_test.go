package wire

import (
	"sync/atomic"
	"testing"
	"time"
)

// smallFetch lets the answers of one key count as small.
func smallFetch(key, version int16) Limits {
	l := knownAll(key, version)
	l.AnswerSmall = key == keyFetch
	return l
}

// TestUnreadAnswersOfOneConnection: a client that reads nothing holds its share of
// the memory of answers and one answer more, however many it asks for.
func TestUnreadAnswersOfOneConnection(t *testing.T) {
	const answer = 8 << 20 // more than sockets take
	var served atomic.Int64
	big := make([]byte, answer)
	g := newRig(t, long(Settings{AnswerBytes: 4 * 8 * answer, Known: smallFetch}), handlerFunc(func(r *Request) {
		if r.Key == keyFetch {
			r.Reply(r.Body)
			return
		}
		served.Add(1)
		r.Reply(big)
	}))
	hog := g.dial()
	for i := range int32(40) {
		hog.send(keyMetadata, 0, i, nil)
	}
	g.eventually("the hog is held up", func() bool {
		g.s.mu.Lock()
		defer g.s.mu.Unlock()
		for c := range g.s.conns {
			c.mu.Lock()
			over := c.owed > g.s.replies.total/owedPart
			c.mu.Unlock()
			if over {
				return true
			}
		}
		return false
	})
	other := g.dial()
	for i := range int32(20) {
		other.send(keyMetadata, 0, i, nil)
		other.expect(i, big)
	}
	if n := served.Load() - 20; n > 3 {
		t.Errorf("%d answers of %d bytes for who reads none, of %d bytes in all", n, answer, g.s.replies.total)
	}
	for i := range int32(40) { // it gets them all once it reads
		hog.expect(i, big)
	}
}

// TestWaitingRequestsGoOnInTurn: where many wait for the memory of answers, some
// that is given back lets a few of them go on, not all: those took so much more than
// there is that requests with small answers had to wait too, for seconds.
func TestWaitingRequestsGoOnInTurn(t *testing.T) {
	const answer, room, clients = 8 << 20, 6, 40
	var g *rig
	var served, most atomic.Int64
	big := make([]byte, answer)
	g = newRig(t, long(Settings{AnswerBytes: 4 * room * answer, PressedMax: 20 * time.Millisecond, BytesPerSecondMin: 1 << 40}), handlerFunc(func(r *Request) {
		r.Reply(big)
		taken, _ := g.s.replies.state()
		for old := most.Load(); taken > old && !most.CompareAndSwap(old, taken); old = most.Load() {
		}
		served.Add(1)
	}))
	g.s.turns = newBudget(4)
	for range clients {
		g.dial().send(keyMetadata, 0, 1, nil)
	}
	// Who reads nothing is closed, and the next are answered.
	g.eventually("all are answered", func() bool { return served.Load() == clients })
	if n := most.Load(); n >= 2*room*answer {
		t.Errorf("answers took %d bytes of %d", n, room*answer)
	}
}
