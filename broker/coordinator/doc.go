// Package coordinator runs consumer groups (design decision D9): it spreads them
// over the partitions of __consumer_offsets as Kafka does, and gives each
// partition that this broker leads its shard of package group, a log to write to,
// the time, and the state that replaying the log makes.
//
// Invariants:
//
//	O1 A shard serves from the end of its replay on until its partition ceases
//	   to be led under the epoch of the replay. What it appends is proposed under
//	   that epoch or not at all.
//	O2 The records of one operation are one batch, or part of one: all of them
//	   are in the log or none is.
//	O3 At most one batch of a shard is in flight; what comes meanwhile waits and
//	   goes together. So outcomes come in the order of the operations.
//	O4 The log start moves up to a snapshot only when all of the snapshot is
//	   committed, with no other record between its parts: whatever point a crash
//	   hits, replay gives the same state (C2).
//	O5 Every function given to Do, Read, All and Find is called once, also at the end
//	   (R4).
//	O6 A panic costs the request that met it its answer, and every shard a reload,
//	   but never the broker.
//	O7 No request sees an offset of a topic that this broker knows to be gone, or
//	   to be another one of the same name: requests wait while those are removed,
//	   and are refused while they cannot be, for want of room (C2).
//	O8 An offset is removed for a topic that is not in the cluster metadata only if
//	   this broker knows the metadata up to the newest index that was stored with
//	   any offset of the shard. Until then the topic may be one that it has not
//	   heard of yet, and requests are refused as while loading (C2).
//	O9 Committed offsets are told only by a broker that led since it was asked, so
//	   that one that was replaced without having heard of it tells no old ones (C2).
//
// # Bounding the replay
//
// There is no compaction of logs yet. Instead, when the log of a shard holds more
// than 8 MiB and more than four times the bytes of the state in it, the shard
// appends a snapshot of that state and has the log begin there. The records of
// operations that come meanwhile wait behind it.
//
// # Concurrency
//
// Core is the deciding part: deterministic, with the time as an argument, and owned
// by one goroutine. Coordinator is that goroutine, which calls what is given to Do,
// All and Find. Its queue takes at most requestsMax requests, beyond which they are
// refused; everything else in it is the outcome of something under way, of which
// there is a bounded number for each shard. A log is read on the host's pool, by whoever
// then owns the shard that it builds; at most loadsMax at a time.
//
// # Not here
//
// Kafka's error codes and request formats, which are in package kafka; what a
// group does, which is in package group; transactional offset commits.
package coordinator
