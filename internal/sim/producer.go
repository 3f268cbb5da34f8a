package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// pipeline is how many batches a producer has in flight.
const pipeline = 5

// request is one batch on its way over a connection. Answers come back in the
// order of the requests.
type request struct {
	b    *batch
	done bool
	err  error
}

// producer is a client that sends batches to one partition. An idempotent one
// sends what is not answered again, with the same sequence and in order, until
// it is answered.
type producer struct {
	s     *run
	id    int64
	epoch int16
	next  int32 // sequence
	idem  bool
	// rewind: after a refusal it waits for all answers and sends everything
	// again; else it sends the oldest batch alone until that is through.
	rewind bool
	part   *part
	at     *server // that it believes to lead the partition, nil: it does not know
	left   int     // batches to make
	made   int     // batches
	gap    int16   // one above the epoch in which a repair gave some of them up; 0: none

	zombie, stopped bool // another instance began a newer epoch; it knows that

	open []*batch // sent and not done, oldest first
	wait time.Time

	requests []*request // of the present connection, oldest first
	answers  time.Time  // when the last answer on its way arrives
	conns    int        // counts connections
}

func (s *run) startProducers() {
	for i := range s.plan.producers {
		p := &producer{
			s: s, id: int64(i), left: s.plan.batches,
			idem: s.rng.client.IntN(10) < s.plan.idem, rewind: s.rng.client.IntN(2) == 0,
		}
		s.producers = append(s.producers, p)
		s.after(mean(s.rng.client, s.plan.burst), p.turn)
	}
}

// finished reports whether the producer has nothing to do any more.
func (p *producer) finished() bool { return (p.left == 0 || p.s.ending) && len(p.open) == 0 }

// turn sends what may be sent, and comes back.
func (p *producer) turn() {
	if p.zombie && (p.stopped || p.s.ending || p.part.topic.state != live) {
		p.stop()
		return
	}
	r := p.s.rng.client
	next := mean(r, p.s.plan.burst)
	if r.IntN(12) == 0 {
		next = mean(r, p.s.plan.pause)
	}
	if p.s.ending {
		next = min(next, 200*time.Millisecond)
	}
	if !p.finished() || !p.s.ending {
		p.s.after(next, p.turn)
	}
	if p.part == nil || p.part.topic.state != live {
		p.move()
	}
	if p.part == nil || p.s.now.Before(p.wait) || !p.connect() {
		return
	}
	if p.tooLate() {
		return
	}
	p.send()
	if p.s.plan.disconnect && !p.s.ending && r.IntN(60) == 0 {
		p.s.log("producer %d: connection lost", p.id)
		p.lost()
	}
	if p.idem && !p.zombie && !p.s.ending && r.IntN(150) == 0 {
		p.bump()
	}
}

// move chooses another partition, when there is none or its topic went.
func (p *producer) move() {
	for _, b := range p.open {
		b.done = true
	}
	p.open, p.part, p.at = nil, nil, nil
	p.close()
	parts := p.s.model.parts()
	if len(parts) == 0 || p.s.ending {
		return
	}
	p.part = parts[p.s.rng.client.IntN(len(parts))]
	p.next = 0
	p.epoch++ // one sequence for one partition: a new one has not seen it
}

// bump begins a new epoch, giving up what is not answered.
func (p *producer) bump() {
	p.leaveZombie()
	for _, b := range p.open {
		b.done = true
	}
	p.open = nil
	p.close()
	p.epoch++
	p.next = 0
	p.s.log("producer %d: begins epoch %d", p.id, p.epoch)
}

// lost notes that the answers to what is in flight will not come.
func (p *producer) lost() {
	p.close()
	for _, b := range p.open {
		b.flying = false
	}
	if !p.idem {
		p.giveUp()
	}
}

// close closes the connection.
func (p *producer) close() {
	p.requests = nil
	p.conns++
}

// deliver sends answers on their way, in order.
func (p *producer) deliver() {
	for len(p.requests) > 0 && p.requests[0].done {
		q := p.requests[0]
		p.requests = p.requests[1:]
		at := p.s.now.Add(mean(p.s.rng.client, 300*time.Microsecond))
		if at.Before(p.answers) {
			at = p.answers
		}
		p.answers = at
		conn := p.conns
		p.s.after(at.Sub(p.s.now), func() {
			if conn == p.conns {
				p.answered(q.b, q.err)
			}
		})
	}
}

// giveUp lets a producer without idempotence forget some of what it does not
// know the fate of, and send the rest again.
func (p *producer) giveUp() {
	kept := p.open[:0]
	for _, b := range p.open {
		if b.flying || p.s.rng.client.IntN(2) == 0 {
			kept = append(kept, b)
		} else {
			b.done = true
		}
	}
	p.open = kept
}

// send sends batches, oldest first: those that must be sent again before new
// ones.
func (p *producer) send() {
	flying := 0
	for _, b := range p.open {
		if b.flying {
			flying++
		}
	}
	switch {
	case flying == len(p.open):
		p.sendNew()
	case !p.idem:
		for _, b := range p.open {
			if !b.flying {
				p.give(b)
			}
		}
	case p.rewind && flying == 0:
		for _, b := range p.open {
			p.give(b)
		}
	case !p.rewind && !p.open[0].flying:
		p.give(p.open[0])
	}
}

func (p *producer) sendNew() {
	if p.s.ending || p.at.stopping || p.left == 0 || len(p.open) >= pipeline {
		return
	}
	// A broker knows the last five batches of a producer again: with an answer
	// lost to the oldest, and answers to the others, a client must not pass that.
	if (!p.s.alone() || !p.s.plan.without["later"]) && p.idem && len(p.open) > 0 && p.made-p.open[0].nth >= pipeline-1 {
		return
	}
	p.left--
	b := p.make()
	p.made++
	b.nth = p.made
	p.open = append(p.open, b)
	p.give(b)
}

// make makes a new batch.
func (p *producer) make() *batch {
	r := p.s.rng.client
	params := record.DefaultParams(record.None, p.s.now.UnixMilli())
	n := 1 + r.IntN(4)
	if p.idem {
		params.ProducerID, params.ProducerEpoch, params.BaseSequence = p.id, p.epoch, p.next
		p.next += int32(n)
	}
	return p.s.model.newBatch(p.part, p, params, n, p.s.plan.valueMax)
}

// answered takes an answer.
func (p *producer) answered(b *batch, err error) {
	if b.done {
		return
	}
	b.flying = false
	p.s.checkStale(b, err)
	if errors.Is(err, partition.ErrNotLeader) {
		p.at = nil
	}
	if p.zombie {
		p.zombieAnswered(b, err)
		return
	}
	switch {
	case err == nil:
		p.finish(b)
	case p.idem && errors.Is(err, partition.ErrOutOfOrder) && p.open[0] == b && b.header.ProducerEpoch+1 == p.gap:
		p.bump() // what a repair gave up is missing before it
	case p.idem && errors.Is(err, partition.ErrOutOfOrder) && p.open[0] == b:
		p.s.fail("L5", "producer %d: its oldest batch without an answer, %d (epoch %d, sequence %d, sent %d times), is refused for ever: %v",
			p.id, b.id, b.header.ProducerEpoch, b.header.BaseSequence, b.sent, err)
	case p.idem && errors.Is(err, partition.ErrFenced):
		p.s.fail("L5", "producer %d: batch %d is fenced by nobody: %v", p.id, b.id, err)
	case rejected(err) && p.idem:
		p.bump() // it cannot be stored, and nothing behind it may be
	case rejected(err):
		p.finish(b)
	case !p.idem && p.s.rng.client.IntN(3) == 0:
		p.finish(b)
	default:
		p.wait = p.s.now.Add(mean(p.s.rng.client, 20*time.Millisecond))
	}
}

// rejected reports whether the topic's chain refused a batch for good.
func rejected(err error) bool {
	return errors.Is(err, record.ErrInvalidRecord) || errors.Is(err, record.ErrTooLarge)
}

// finish takes a batch out of what is open.
func (p *producer) finish(b *batch) {
	b.done = true
	for i, o := range p.open {
		if o == b {
			p.open = append(p.open[:i], p.open[i+1:]...)
			return
		}
	}
}

// disconnected tells every client of a node that its broker went.
func (s *run) disconnected(sv *server) {
	for _, p := range s.producers {
		if s.alone() || p.at == sv {
			p.lost()
			p.at = nil
		}
	}
}

// connect finds the node that leads the producer's partition, if it knows none.
func (p *producer) connect() bool {
	if p.at != nil && p.at.broker != nil {
		return true
	}
	p.at = nil
	if b := p.s.lookFor(p.part.id); b != nil {
		p.at = b.server
	}
	return p.at != nil
}

// lookFor is route, but a broker that is alone is found before it is ready.
func (s *run) lookFor(id ident.Partition) *broker {
	if s.alone() {
		return s.servers[0].broker
	}
	return s.route(id)
}

// give sends a batch to the node that the producer knows.
func (p *producer) give(b *batch) {
	if p.at == nil || p.at.broker == nil { // it went while batches were sent
		return
	}
	p.s.produce(p.at.broker, b, p)
}

// awaits has the producer give up its connection if a request is not answered in
// time, as when the node stands still, or cannot reach the others.
func (p *producer) awaits(q *request) {
	if p.s.plan.requestTimeout == 0 {
		return
	}
	conn := p.conns
	p.s.after(p.s.plan.requestTimeout, func() {
		if conn == p.conns && !q.done {
			p.s.log("producer %d: no answer for batch %d, looks for another leader", p.id, q.b.id)
			p.lost()
			p.at = nil
		}
	})
}

// definite reports whether a refusal says that this attempt will never be in
// the log.
func definite(err error) bool {
	for _, e := range []error{
		partition.ErrFenced, partition.ErrOutOfOrder, partition.ErrQueueFull, partition.ErrNoSpace, partition.ErrStaleChain,
		partition.ErrChainLoading, partition.ErrOutboxFull, record.ErrInvalidRecord, record.ErrTooLarge,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// produce sends a batch to a broker, which takes it at once unless its machine
// stands still; the answer takes a while. What the broker answers counts from
// when it does.
func (s *run) produce(br *broker, b *batch, from *producer) {
	if !br.server.frozen && (!br.node.Ready() || br.partition(b.part.id) == nil) {
		if from != nil && !s.alone() {
			from.at = nil
		}
		return
	}
	if b.sent++; b.sent == 1 {
		b.first = s.now
	}
	b.flying = true
	s.log("send batch %d to %s, attempt %d", b.id, b.part.name, b.sent)
	q := &request{b: b}
	if from != nil {
		from.requests = append(from.requests, q)
		from.awaits(q)
	}
	br.server.perform(func() {
		if br.lives() {
			s.arrive(br, q, from)
		}
	})
}

// answer gives a producer its answer.
func (q *request) answer(err error, to *producer) {
	q.done, q.err = true, err
	if to != nil {
		to.deliver()
	}
}

// arrive has a broker take a request.
func (s *run) arrive(br *broker, q *request, from *producer) {
	b := q.b
	p := br.partition(b.part.id)
	if p == nil {
		b.refused++
		q.answer(partition.ErrNotLeader, from)
		return
	}
	if from != nil && s.rng.client.IntN(150) == 0 {
		s.log("batch %d is refused before the partition sees it", b.id)
		p.Refused(b.header)
		b.refused++
		q.answer(partition.ErrQueueFull, from)
		return
	}
	br.asked++
	answered := false
	epoch, fenced := p.LeaderEpoch(), b.newerEpoch()
	try := &sending{broker: br}
	b.attempts = append(b.attempts, try)
	a := s.prepare(br, b)
	a.Done = func(a *partition.Append) {
		s.answeredOnce(&answered, "batch %d", b.id)
		if !br.answers() {
			return
		}
		try.end = s.now
		s.stats.noteTask(a.Err)
		br.asked--
		br.server.log("answer for batch %d: offset %d, duplicate %v, %v", b.id, a.Base, a.Duplicate, a.Err)
		s.checkFullRefusal(br, b, a.Err)
		switch {
		case a.Err == nil:
			s.stats.Acked++
			s.checkFenced(b, a, fenced)
			b.noteEpoch()
			s.acknowledged(b, a, epoch)
		case definite(a.Err):
			s.stats.Refused++
			b.refused++
		}
		q.answer(a.Err, from)
	}
	p.Produce(a)
}
