package wire

import "sync/atomic"

// Stats are a server's gauges. All are 0 once nothing is connected.
type Stats struct {
	// Connections is the number of open connections.
	Connections int
	// SmallBytes and LargeBytes are what requests hold of each budget.
	SmallBytes, LargeBytes int64
	// ArrivingBytes is what small requests hold that have not arrived yet.
	ArrivingBytes int64
	// AnswerBytes is what is reserved for answers, and held by those that are not
	// written yet.
	AnswerBytes int64
	// Waiting is the number of connections whose next frame waits for memory.
	Waiting int
	// AnswersWaiting is the number of requests that wait for memory for their
	// answers.
	AnswersWaiting int
}

// Stats returns the gauges of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.conns)
	s.mu.Unlock()
	arriving, w1 := s.arriving.state()
	small, w2 := s.small.state()
	large, w3 := s.large.state()
	replies, w4 := s.replies.state()
	reserved, w5 := s.reserved.state()
	if w4 > 0 {
		w4 += s.turns.waiters()
	}
	return Stats{
		Connections: n, SmallBytes: small, LargeBytes: large, ArrivingBytes: arriving, AnswerBytes: reserved + replies,
		Waiting: w1 + w2 + w3 + w4, AnswersWaiting: w5,
	}
}

// Budgets returns the bounds of Stats.SmallBytes, which is that of ArrivingBytes
// too, and Stats.LargeBytes.
func (s *Server) Budgets() (small, large int64) {
	return s.small.total, s.large.total
}

// AnswerBudget returns the bound of Stats.AnswerBytes.
func (s *Server) AnswerBudget() int64 { return s.reserved.total + s.replies.total }

// counters count what a server did.
type counters struct {
	accepted, refused, refusedPerIP atomic.Uint64
	read, written                   atomic.Uint64 // bytes
}

// Counts are what a server did so far.
type Counts struct {
	// Accepted counts connections, Refused those that were closed at once
	// because of Settings.ConnectionsMax, RefusedPerIP because of
	// ConnectionsMaxPerIP.
	Accepted, Refused, RefusedPerIP uint64
	// ReadBytes counts the bytes of frames that arrived, WrittenBytes those of
	// replies that were handed to connections.
	ReadBytes, WrittenBytes uint64
}

// Counts returns the counters.
func (s *Server) Counts() Counts {
	c := &s.counters
	return Counts{
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), RefusedPerIP: c.refusedPerIP.Load(),
		ReadBytes: c.read.Load(), WrittenBytes: c.written.Load(),
	}
}
