package sim

import (
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// alone reports whether there is one node.
func (s *run) alone() bool { return len(s.servers) == 1 }

// brokers returns those that run, by node id.
func (s *run) brokers() []*broker {
	var out []*broker
	for _, sv := range s.servers {
		if sv.broker != nil {
			out = append(out, sv.broker)
		}
	}
	return out
}

// choose returns any one of the brokers, nil if there is none.
func (s *run) choose(of []*broker) *broker {
	switch len(of) {
	case 0:
		return nil
	case 1:
		return of[0]
	}
	return of[s.rng.nodes.IntN(len(of))]
}

// controller returns a broker that says that it takes commands, nil if there is
// none.
func (s *run) controller() *broker {
	var out []*broker
	for _, b := range s.brokers() {
		if b.node.Controller() && !b.server.frozen {
			out = append(out, b)
		}
	}
	return s.choose(out)
}

// ready returns a broker that serves clients, nil if there is none.
func (s *run) ready() *broker {
	var out []*broker
	for _, b := range s.brokers() {
		if b.node.Ready() && !b.server.frozen {
			out = append(out, b)
		}
	}
	return s.choose(out)
}

// operable is controller, but for a broker that is about to stop.
func (s *run) operable() *broker {
	if b := s.controller(); b != nil && !b.server.stopping {
		return b
	}
	return nil
}

// serves returns the partition at a broker that says that it leads it.
func (b *broker) serves(id ident.Partition) (*partition.Partition, partition.Offsets, bool) {
	at := b.partition(id)
	if at == nil || b.server.disk.lost {
		return nil, partition.Offsets{}, false
	}
	o, err := at.Offsets()
	return at, o, err == nil
}

// route returns a broker to ask about a partition. Alone it is the only one, if
// that is ready; else any that says that it leads it, be that true or not any
// more. nil: there is none.
func (s *run) route(id ident.Partition) *broker {
	if s.alone() {
		return s.ready()
	}
	var out []*broker
	for _, b := range s.brokers() {
		if _, _, ok := b.serves(id); ok && b.node.Ready() && !b.server.frozen {
			out = append(out, b)
		}
	}
	return s.choose(out)
}

// newest returns, of the brokers that say that they lead a partition, the one
// with the highest leader epoch, nil if there is none. It knows everything that
// was ever committed.
func (s *run) newest(id ident.Partition) *broker {
	var best *broker
	epoch := ident.Epoch(-1)
	for _, b := range s.brokers() {
		if _, o, ok := b.serves(id); ok && (best == nil || o.LeaderEpoch > epoch) {
			best, epoch = b, o.LeaderEpoch
		}
	}
	return best
}
