// Package broker assembles a broker: it takes the edges (disk, network, clock)
// and the settings, and runs a node.Node behind the Kafka listener and the HTTP
// listener.
//
// Concurrency: one goroutine, the owner, holds the Node and does nothing but
// decide; tasks run on goroutines of their class, requests are read and checked
// on the goroutine of their connection, and reads of the log run on a bounded
// pool. Whoever wants something of the owner posts an event. Every goroutine is
// started by Run and ends before it returns.
//
// A failed write-ahead log ends Run with an error: the broker must not
// acknowledge anything from that directory again.
package broker
