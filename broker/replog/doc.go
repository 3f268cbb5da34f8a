// Package replog is the replicated log engine: one etcd Raft group per
// partition and one for the cluster metadata, all appending to one write-ahead
// log (design decisions D2 and D2a). It is the only importer of etcd raft.
//
// It is a core. The owner feeds it proposals, the end of I/O tasks and the
// time, calls Poll, and performs the tasks that Poll returns, on any goroutine;
// each finished task is an event again. Nothing here starts a goroutine, reads
// a clock or waits.
//
// What a group replicates is its Machine. Entries are applied in order on the
// owner, exactly once per life of the machine; after a restart the machine is
// restored from the newest checkpoint and entries behind it are applied again.
//
// Invariants:
//
//	G1 Nothing that depends on an append leaves before the append is durable:
//	   Raft's responses and Apply follow the write-ahead log's release.
//	G2 An append that changes nothing durable (commit index only) causes no
//	   write and no sync.
//	G3 After a restart commit = max(hard state, checkpoint's applied), at most
//	   the last index; Raft panics otherwise.
//	G4 A checkpoint lists every group, also one that was recovered and not yet
//	   started; a file goes only after the checkpoint is durable and proven.
//	G5 An apply that fails or panics parks its group, and no other. A parked
//	   group never holds the write-ahead log: its entries are copied forward.
//	G6 A group is destroyed only by Destroy.
//	G7 Proposals of one group are applied in the order in which they were made.
//	G8 A replica takes another one's state over only when all files that it
//	   names are here, and says so only when a checkpoint with it is durable.
//	   Until then it is what it was.
//	G9 What another replica sends is taken only if there is room for it in the
//	   write-ahead log and on disk; else it is as if it had been lost. So are
//	   messages that begin a term or ask for a vote.
//	G10 A checkpoint is logged only when everything that its states claim about
//	   files is durable. Machines that share their sync (SharedSync) are told
//	   of it only by a sync of the file system that began after they had written.
//	G11 Clients slow down as the replay debt grows, and stop at its bound; but
//	   one proposal goes on whenever nothing else is on its way, so that what
//	   waits is always looked at again. The broker's own never wait for the pace.
//	G12 A leader takes no proposals of clients while most replicas say that their
//	    disks have no room for them, so that what frees space is never behind
//	    entries that they cannot take. A replica that cannot take them for long
//	    gets a snapshot, which says what was deleted.
//
// Concurrency: an Engine and its machines belong to one goroutine. Task.Do runs
// anywhere.
//
// Messages to other replicas are handed to Config.Send, and theirs come through
// Step. They may be lost, late, doubled and reordered, but not changed. The
// members of a group are those that it began with: it has no changes of
// configuration.
package replog
