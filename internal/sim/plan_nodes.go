package sim

import "time"

// planNodes is the part of a plan that is about several nodes and what goes
// wrong between and with them. It is drawn from a stream of its own, so that the
// rest of a plan stays as it is.
type planNodes struct {
	nodes          int
	requestTimeout time.Duration // of clients; 0: they wait for ever
}

func (p *plan) drawNodes(seed uint64) {
	p.nodes = 1
}
