// Package group is the deterministic core of classic consumer groups: joining,
// assignment, sessions and committed offsets of all groups that share one
// partition of __consumer_offsets, a Shard (design decision D9). Its records are
// byte for byte those of Kafka, so Kafka's tools read them, but for two tagged
// fields of offsets, which those skip: the index of the cluster metadata that the
// offset's topic was found in, and the expiry time of one that has its own.
//
// A request that changes what has to last appends records and is answered when
// they are committed. A Shard is loaded by replaying its partition; whoever was
// in the middle of a rebalance then joins again.
//
// Invariants:
//
//	G1 A generation has at most one assignment, from one leader: the first that
//	   the leader brings is stored, and members are told it after it is committed
//	   (C1).
//	G2 An offset is visible once it is committed, and stays until a later commit,
//	   a deletion or its expiry is committed. A failed append changes nothing
//	   (C2).
//	G3 What was appended before a generation's assignment has landed before a
//	   member is told the assignment: a new owner reads every offset that the
//	   owner before was told to be committed (C4).
//	G4 A rebalance ends: the join phase after the longest rebalance timeout of the
//	   members (or the initial delay, if that is longer), twice that if only
//	   silent static members are left, the sync phase after once more; then
//	   whoever holds it up is removed (C3).
//	G5 A group that is preparing or completing a rebalance or is stable has
//	   members, and their protocols have one in common. Its leader is one of them.
//	G6 Replaying the log, or a snapshot and what was appended after it, gives the
//	   committed state, whatever was in flight.
//	G7 Every request is answered exactly once: Stop answers those that wait. A
//	   join or sync that its client sent again is answered with
//	   ErrRebalanceInProgress.
//	G8 An offset with an append in flight does not expire, and neither does its
//	   group. A deletion comes after what was in flight before it.
//	G9 What the groups hold is bounded by Config.StateBytesMax, as an estimate,
//	   and each append by Config.AppendBytesMax. Nothing that a client sends is
//	   parsed without bounds: assignor metadata and assignments are opaque, but
//	   for the topics and partitions that a consumer's name.
//
// Concurrency: one goroutine owns a Shard and calls every method; callbacks run
// on it and must not call the Shard. Nothing blocks.
//
// Failed appends: a commit answers the error and the offset before stays. A
// leader's sync fails for all who wait, and the group rebalances. A static member
// that came back keeps its old id. That a group became empty is not stored, so
// the members of the stored generation come back after a failover and time out.
//
// Static members: one that comes back to a stable group takes over its assignment
// without a rebalance (KIP-345), but for one that had given up partitions of that
// generation and had not joined again (KIP-429). Kafka leaves those to nobody
// until something else makes the group rebalance; here its return does.
//
// It does not know which topics exist (Config.Topic is asked), route groups to shards, speak the wire
// protocol or take part in transactions.
package group
