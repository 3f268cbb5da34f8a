package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// producerExpiry is how long a silent producer is remembered
// (producer.id.expiration.ms).
func (s *run) producerExpiry() time.Duration {
	if s.plan.expiry > 0 {
		return s.plan.expiry
	}
	return 24 * time.Hour
}

// sending is one time that a batch was sent.
type sending struct {
	broker *broker
	end    time.Time // when it was answered; zero: it was not
}

// over returns from when on an attempt can have no more effect: when it was
// answered, or when the broker's life was over.
func (a *sending) over(now time.Time) time.Time {
	switch {
	case !a.end.IsZero():
		return a.end
	case a.broker.lives():
		return now
	}
	return a.broker.ended
}

// tooLate has an idempotent producer give up what it has tried to send for so
// long that it may be forgotten soon, as clients do whose delivery.timeout.ms is
// below producer.id.expiration.ms. It reports whether it did.
func (p *producer) tooLate() bool {
	if p.s.plan.expiry == 0 || !p.idem || len(p.open) == 0 || p.s.now.Sub(p.open[0].first) < p.s.plan.expiry/2 {
		return false
	}
	p.s.log("producer %d: batch %d is not answered for too long", p.id, p.open[0].id)
	p.bump()
	return true
}

// forgotten reports whether a batch may have been appended again because its
// producer was forgotten meanwhile: an attempt was still on its way after that
// time. L4 holds within the time only.
func (s *run) forgotten(b *batch) bool {
	if s.plan.expiry == 0 || b == nil {
		return false
	}
	for _, a := range b.attempts {
		if a.over(s.now).Sub(b.first) >= s.plan.expiry {
			return true
		}
	}
	return false
}

// noteForgotten counts the times when a broker forgot all producers of a
// partition.
func (b *broker) noteForgotten() {
	if b.s.plan.expiry == 0 {
		return
	}
	if b.remembers == nil {
		b.remembers = map[ident.Partition]bool{}
	}
	for _, p := range b.s.model.parts() {
		at := b.partition(p.id)
		if at == nil {
			continue
		}
		now := at.ProducerBytes() > 0
		if b.remembers[p.id] && !now {
			b.s.stats.Expiries++
			b.server.log("broker: the producers of %s are forgotten", p.name)
		}
		b.remembers[p.id] = now
	}
}

// leaveZombie has what a producer was before it began a new epoch go on: a
// process that does not know that another one took over.
func (p *producer) leaveZombie() {
	s := p.s
	if !s.plan.zombies || p.part == nil || s.ending || s.rng.rare.IntN(2) == 0 {
		return
	}
	z := &producer{
		s: s, id: p.id, epoch: p.epoch, next: p.next, idem: true, zombie: true, rewind: p.rewind,
		part: p.part, at: p.at, left: 1 + s.rng.rare.IntN(6), made: p.made, open: p.open,
	}
	p.open = nil
	for _, b := range z.open {
		b.flying = false
	}
	s.stats.Zombies++
	s.log("producer %d: its old instance goes on in epoch %d", z.id, z.epoch)
	s.producers = append(s.producers, z)
	s.after(mean(s.rng.rare, s.plan.burst), z.turn)
}

// stop ends a zombie.
func (p *producer) stop() {
	for _, b := range p.open {
		b.done = true
	}
	p.open, p.left, p.stopped = nil, 0, true
	p.close()
}

// zombieAnswered takes an answer for a zombie, which ends when it learns that it
// is one, or when nothing that it sends can be appended.
func (p *producer) zombieAnswered(b *batch, err error) {
	switch {
	case err == nil:
		p.finish(b)
	case errors.Is(err, partition.ErrFenced):
		p.s.stats.Fenced++
		p.stop()
	case errors.Is(err, partition.ErrOutOfOrder), rejected(err):
		p.stop()
	default:
		p.wait = p.s.now.Add(mean(p.s.rng.client, 20*time.Millisecond))
	}
}

// newerEpoch reports whether a batch of a newer epoch of its producer was
// acknowledged in its partition.
func (b *batch) newerEpoch() bool {
	return b.header.ProducerID >= 0 && b.part.epochs[b.header.ProducerID] > b.header.ProducerEpoch
}

// noteEpoch takes down the newest epoch of a producer in a partition.
func (b *batch) noteEpoch() {
	if b.header.ProducerID < 0 {
		return
	}
	if b.part.epochs == nil {
		b.part.epochs = map[int64]int16{}
	}
	if b.header.ProducerEpoch > b.part.epochs[b.header.ProducerID] {
		b.part.epochs[b.header.ProducerID] = b.header.ProducerEpoch
	}
}

// checkFenced: L5. A batch that was sent after one of a newer epoch of its
// producer was acknowledged is not appended.
func (s *run) checkFenced(b *batch, a *partition.Append, fenced bool) {
	if fenced && !a.Duplicate && !b.part.cut && s.plan.expiry == 0 {
		s.fail("L5", "%s: batch %d of producer %d is appended at offset %d in epoch %d, after one of epoch %d",
			b.part.name, b.id, b.header.ProducerID, a.Base, b.header.ProducerEpoch, b.part.epochs[b.header.ProducerID])
	}
}
