package node

import (
	"errors"
	"slices"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// errNoPlugins: this node was set up without a way to run plugins.
var errNoPlugins = errors.New("node: plugins cannot be run here")

// loadedChain is the chain of a topic that runs here now.
type loadedChain struct {
	generation uint64
	chain      partition.Chain // nil: the topic has none
	loading    bool            // the generation is being loaded
	failed     bool            // the last attempt failed
	err        error           // why
	retry      time.Time       // when it is tried again
}

// reloadAfter is how long a chain that could not be loaded waits: compiling one
// is expensive.
const reloadAfter = 2 * time.Second

// chain makes a topic's partitions run the chain that the metadata names. Until
// it is loaded they refuse batches, so that none passes an older one (W6).
func (n *Node) chain(t *metadata.Topic) {
	l := n.chains[t.ID]
	if l == nil {
		l = &loadedChain{}
		n.chains[t.ID] = l
	}
	fresh := l.generation != t.ChainGeneration
	if fresh {
		*l = loadedChain{generation: t.ChainGeneration}
	}
	n.each(t, func(p *partition.Partition) { p.WantChain(t.ChainGeneration) })
	switch {
	case len(t.Chain()) == 0, !fresh && !l.loading && !l.failed:
		n.each(t, func(p *partition.Partition) { p.SetChain(l.generation, l.chain) })
	case !l.loading:
		n.load(t, l)
	}
}

// joinChain gives a partition that was just opened the chain of its topic.
func (n *Node) joinChain(t *metadata.Topic, p *partition.Partition) {
	l := n.chains[t.ID]
	if l == nil || l.generation != t.ChainGeneration {
		n.chain(t)
		return
	}
	p.WantChain(l.generation)
	if len(t.Chain()) == 0 || !l.loading && !l.failed {
		p.SetChain(l.generation, l.chain)
	}
}

// load asks for the chain to be compiled.
func (n *Node) load(t *metadata.Topic, l *loadedChain) {
	l.loading, l.failed = true, false
	done := func(c partition.Chain, err error) {
		if n.chains[t.ID] != l || l.generation != t.ChainGeneration {
			return // changed again since, or deleted
		}
		l.err = err
		l.loading, l.failed, l.retry = false, err != nil, n.now.Add(reloadAfter)
		if err != nil {
			n.report(Event{Topic: t.Name, Err: err, Text: "the topic's plugin chain cannot be loaded; produce to it is refused until it can"})
			return
		}
		l.chain = c
		if grown, ok := n.topic(t.ID); ok && len(grown.Partitions) > len(t.Partitions) { // meanwhile
			t = grown
		}
		n.each(t, func(p *partition.Partition) { p.SetChain(l.generation, c) })
	}
	if n.c.LoadChain == nil {
		done(nil, errNoPlugins)
		return
	}
	n.c.LoadChain(t, done)
}

// reloadChains tries again to load chains that could not be.
func (n *Node) reloadChains() {
	var ids []ident.TopicID
	for id, l := range n.chains { // order: sorted below
		if l.failed && !n.now.Before(l.retry) && !mutant.On(mutant.ChainLoadedOnce) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b ident.TopicID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		l := n.chains[id]
		if t, ok := n.topic(id); ok && t.ChainGeneration == l.generation {
			n.load(t, l)
		}
	}
}

// each calls f for every partition of a topic that is open here.
func (n *Node) each(t *metadata.Topic, f func(*partition.Partition)) {
	for i := range t.Partitions {
		r := n.Replica(ident.Partition{Topic: t.ID, Index: int32(i)})
		if r != nil && r.Partition != nil {
			f(r.Partition)
		}
	}
}

// ChainState tells whether a topic's partitions here run the chain that the
// metadata names: nil, partition.ErrChainLoading, or why it cannot be loaded.
func (n *Node) ChainState(topic string) error {
	t, ok := n.Image().Topic(topic)
	if !ok {
		return metadata.ErrUnknownTopic
	}
	l := n.chains[t.ID]
	switch {
	case l == nil || l.generation != t.ChainGeneration || l.loading:
		return partition.ErrChainLoading
	case l.failed:
		return l.err
	}
	return nil
}
