package sim

// network carries frames between the nodes.
type network struct{ s *run }

func newNetwork(s *run) *network { return &network{s: s} }

func (n *network) heal() {}
