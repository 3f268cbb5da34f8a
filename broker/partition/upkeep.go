package partition

import (
	"encoding/binary"
	"math"

	"github.com/varvelog/varve/broker/entry"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// internalToken marks an entry that the leader proposed on its own account.
type internalToken uint8

const (
	tokenSettings internalToken = iota
	tokenStart
	tokenRoll
	tokenExpiry
	tokenTrim
	tokenEvict
	tokenDrop
	tokenDead
)

// forgetToken marks the entry that forgets a deleted topic's outboxes.
type forgetToken ident.TopicID

// settled ends the wait for an entry of the leader's own.
func (p *Partition) settled(token any) {
	if t, ok := token.(forgetToken); ok {
		delete(p.forgetting, ident.TopicID(t))
	}
	t, ok := token.(internalToken)
	if !ok {
		return
	}
	switch t {
	case tokenSettings:
		p.proposing = false
	case tokenStart:
		p.starting = false
	case tokenRoll:
		p.rolling = false
	case tokenExpiry:
		p.expiring = false
	case tokenTrim:
		p.trimming = false
	case tokenEvict:
		p.evicting = false
	case tokenDrop:
		p.dropping = false
	case tokenDead:
		p.forgettingDead = false
	}
}

// propose puts an entry of the leader's own into the log. It may use the space
// that clients' batches cannot, since it is what frees space.
func (p *Partition) propose(flag *bool, t internalToken, kind entry.Kind, now int64, header, payload []byte) {
	if *flag || p.serving() != nil {
		return
	}
	*flag = true
	if err := p.c.Log.Propose(entry.Build(kind, now, header, payload), t, true); err != nil {
		*flag = false // the next upkeep tries again
	}
}

// Configure says what the topic's configuration asks for now. The leader makes
// it so through the log. now is in ms.
func (p *Partition) Configure(s Settings, now int64) {
	p.desired, p.asked = s, true
	p.adjust(now)
}

// adjust proposes the desired settings if they are not in force.
func (p *Partition) adjust(now int64) {
	if p.asked && p.desired != p.settings {
		p.propose(&p.proposing, tokenSettings, entry.Settings, now, nil, p.desired.appendTo(nil))
	}
}

// Upkeep is what a topic's configuration says about age and size.
type Upkeep struct {
	Retention        storage.RetentionSettings
	ProducerExpiryMs int64 // producer.id.expiration.ms
	Tier             TierPlan
}

// Maintain proposes what time and size ask for: retention, time-based rolls,
// expiry of producers, settings. The owner calls it now and then on the leader.
// now is in ms.
func (p *Partition) Maintain(now int64, u Upkeep) {
	if p.serving() != nil {
		return
	}
	p.adjust(now)
	u.Retention.UpTo = p.log.End()
	if mutant.On(mutant.RetentionByLocal) && u.Tier.Copy {
		u.Retention.Bytes = u.Tier.Local.Bytes
	}
	start, roll := storage.PlanRetention(now, u.Retention, p.segments(), p.log.Active(), p.log.Start())
	if roll {
		p.propose(&p.rolling, tokenRoll, entry.Roll, now, nil, nil)
	}
	if start > p.log.Start() {
		p.propose(&p.starting, tokenStart, entry.LogStart, now, startHeader(start, reasonRetention), nil)
	}
	p.maintainTier(now, u.Tier)
	before := now - u.ProducerExpiryMs
	if oldest, ok := p.producers.oldest(); ok && oldest < before {
		if before = min(before, p.sparing()); oldest < before {
			p.propose(&p.expiring, tokenExpiry, entry.ProducerExpiry, now, binary.LittleEndian.AppendUint64(nil, uint64(before)), nil)
		}
	}
}

// sparing returns a time such that forgetting the producers whose last entry's time
// is below it forgets none that has batches in flight: they may have waited for
// longer than that, and the entry that forgets producers may come before one of
// them. If the producer was not known when that one was proposed, it would be
// refused for ever (continues).
func (p *Partition) sparing() int64 {
	least := int64(math.MaxInt64)
	for id, f := range p.flight { // order: a minimum
		if known := p.producers.byID[id]; known != nil {
			least = min(least, known.time)
		}
		for _, a := range f.batches {
			least = min(least, a.time())
		}
	}
	return least
}

// ProducerBytes returns what the state of producers takes in a checkpoint.
func (p *Partition) ProducerBytes() int64 { return p.producers.bytes }

// ShedProducers proposes to forget the producers that were silent for longest, of
// at least so many bytes in a checkpoint if there are as many, before their time
// is over. It returns how many bytes they take, 0 if nothing was proposed. now is
// in ms.
func (p *Partition) ShedProducers(now, bytes int64) int64 {
	if p.expiring || p.serving() != nil || len(p.producers.byID) == 0 {
		return 0
	}
	before, shed := p.producers.cutoff(bytes, p.sparing())
	if shed == 0 {
		return 0
	}
	p.propose(&p.expiring, tokenExpiry, entry.ProducerExpiry, now, binary.LittleEndian.AppendUint64(nil, uint64(before)), nil)
	if !p.expiring {
		return 0
	}
	return shed
}

func startHeader(start ident.Offset, reason byte) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(start)), reason)
}

// StartRequest asks for a higher log start (DeleteRecords), and then tells the
// outcome.
type StartRequest struct {
	// Offset of the first record to keep; -1 is the high watermark.
	Offset ident.Offset
	// Done is called once, on the owner, and must not block. low is the log
	// start offset then.
	Done func(low ident.Offset, err error)

	answered bool
}

func (r *StartRequest) finish(low ident.Offset, err error) {
	if !r.answered {
		r.answered = true
		r.Done(low, err)
	}
}

// DeleteRecords moves the log start up. now is in ms.
func (p *Partition) DeleteRecords(r *StartRequest, now int64) {
	if err := p.serving(); err != nil {
		r.finish(-1, err)
		return
	}
	offset, end := r.Offset, p.log.End()
	if offset == -1 {
		offset = end
	}
	switch {
	case offset < 0 || offset > end:
		r.finish(-1, ErrOffsetOutOfRange)
	case offset <= p.log.Start():
		r.finish(p.log.Start(), nil)
	default:
		e := entry.Build(entry.LogStart, now, startHeader(offset, reasonDeleteRecords), nil)
		if err := p.c.Log.Propose(e, r, true); err != nil {
			r.finish(-1, proposeError(err))
		}
	}
}
