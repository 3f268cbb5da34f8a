package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/metadata"
)

// resolve finds out about commands whose answers were lost. Alone, once nothing
// proposed by an earlier life can be applied any more; with several nodes that
// moment is not known, so they are asked for again.
func (s *run) resolve() {
	if !s.alone() {
		for _, t := range s.model.topics {
			s.askAgain(t)
		}
		return
	}
	br := s.ready()
	if br == nil || br.asked > 0 {
		return
	}
	for _, t := range s.model.topics {
		_, there := br.node.Image().TopicByID(t.id)
		switch {
		case t.state == creating && there:
			t.state = live
		case t.state == creating:
			t.state = deleted
			s.createTopic(t.name)
		case t.state == deleting && there:
			t.state = live
		case t.state == deleting:
			t.state = deleted
			s.createTopic(t.name)
		}
	}
}

// commandTime is how long an operator waits for the answer to a command.
const commandTime = 6 * time.Second

// askAgain has a topic created or deleted by the same command as before, if its
// answer was lost, or said nothing.
func (s *run) askAgain(t *topic) {
	if t.state != creating && t.state != deleting || t.asked != nil && t.asked.lives() && s.now.Sub(t.askedAt) < commandTime {
		return
	}
	br := s.controller()
	if br == nil {
		s.soon(t)
		return
	}
	s.log("%v topic %s %x: asked for again", t.state, t.name, t.id[:4])
	if t.state == creating {
		s.askCreate(br, t)
	} else {
		s.askDelete(br, t)
	}
}

// askCreate asks for a topic to be created. Its name is free unless it is there
// already.
func (s *run) askCreate(br *broker, t *topic) {
	t.asked, t.askedAt = br, s.now
	s.command(br, metadata.CreateTopic{
		Name: t.name, TopicID: t.id, Partitions: int32(len(t.parts)), ReplicationFactor: t.factor, Configs: kvs(t.configs), TimeMs: br.server.now().UnixMilli(),
	}, func(res metadata.Result) {
		switch {
		case t.state != creating:
		case res.Err == nil || !s.alone() && errors.Is(res.Err, metadata.ErrTopicExists):
			t.state = live
		case !s.alone():
			s.soon(t)
		case !undecided(res.Err):
			t.state = deleted
			s.after(100*time.Millisecond, func() { s.createTopic(t.name) })
		}
	})
}

// askDelete asks for a topic to be deleted.
func (s *run) askDelete(br *broker, t *topic) {
	t.asked, t.askedAt = br, s.now
	s.command(br, metadata.DeleteTopic{TopicID: t.id, TimeMs: br.server.now().UnixMilli()}, func(r metadata.Result) {
		switch {
		case t.state != deleting:
		case r.Err == nil || !s.alone() && errors.Is(r.Err, metadata.ErrUnknownTopic):
			t.state = deleted
			s.stats.TopicsDeleted++
			s.createTopic(t.name)
		case !s.alone():
			s.soon(t)
		case definitely(r.Err):
			t.state = live
		case !undecided(r.Err):
			s.fail("M1", "delete topic %s: %v", t.name, r.Err)
		}
	})
}

// soon asks again for what was refused.
func (s *run) soon(t *topic) {
	if t.asked = nil; t.again {
		return
	}
	t.again = true
	s.after(300*time.Millisecond, func() {
		t.again = false
		s.askAgain(t)
	})
}

// decided reports whether it is known of every topic whether it exists.
func (s *run) decided() bool {
	for _, t := range s.model.topics {
		if t.state == creating || t.state == deleting {
			return false
		}
	}
	return true
}

// drawFactor draws a replication factor.
func (s *run) drawFactor() int16 {
	if s.alone() {
		return 1
	}
	if s.rng.nodes.IntN(4) == 0 {
		return int16(1 + s.rng.nodes.IntN(len(s.servers)))
	}
	return int16(min(3, len(s.servers)))
}
