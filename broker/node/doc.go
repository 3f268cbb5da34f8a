// Package node is one broker without its edges: the replicated log engine, the
// cluster metadata as group 0, and a partition for every replica that the
// metadata places on this broker. It is a core (design decision D3): the same
// Node runs in a broker, whose shell performs its tasks on threads, and in the
// simulator, which performs them in one.
//
// Invariants:
//
//	N1 Nothing is served before group 0 has applied an entry of its own term.
//	N2 A partition's group is destroyed only because group 0 applied its topic's
//	   deletion. Its directory is marked before a checkpoint of group 0 at or
//	   past that deletion counts, and removed after it. Until then a restart
//	   does not begin the replica again: its log and its vote are lost.
//	N3 A partition that cannot be opened is answered with its error, and no
//	   other is touched.
//	N4 What a partition emits to a topic goes to one partition of it for ever,
//	   which alone knows what it has. Which origins exist is judged only by
//	   metadata that is at least as new as what earlier leaders judged by.
//
// Concurrency: one goroutine owns a Node and calls every method but Image,
// Partition and Ready, which any goroutine may call. Callbacks run on the owner
// and must not block.
package node
