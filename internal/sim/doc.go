// Package sim runs the cores of one to five brokers under faults: broker/node,
// each on a disk in memory and with a clock of its own, a network between them,
// an object store for all, on virtual time, in one goroutine, from one seed. It
// is test code: nothing imports it but its own tests.
//
// A seed decides everything: the plan (how many nodes, which faults, how much
// load, how small the disk), what clients and operators do and when, how long
// each task of a broker takes and in what order tasks end, where power is lost
// and what the disk keeps of it, when each frame arrives, if it does, and when a
// replica calls an election. Two runs of one seed have the same trace hash.
//
// What goes wrong: machines lose power, alone or several at once, with loss,
// tearing and reordering of what was not synced; brokers are killed; machines
// stand still and go on; syncs fail or take seconds; disks are full, of all nodes
// or of some, or read bits wrong; wall clocks are set forward and back; frames are
// lost, late, doubled and reordered; links are cut in one or both directions, or
// slow, leaders and sets of nodes cut off; clients lose connections and turn to
// another broker; the object store fails in all its ways. In the end all of it
// stops, and what was promised must hold on every node (finish.go). A node that
// is alone may then have its disk damaged for good and be repaired (repair.go), or
// in the middle of its load (repair_midway.go), also beside a cold tier, chains and
// groups (repair_losses.go).
//
// What does not matter to a violation can be left out of a plan by name
// (without.go), which is how failing seeds are made smaller.
//
// What the broker answers and what readers see is judged by checkers, each in a
// file named for the invariant of the design that it stands for, check_l1.go and so
// on. proofs (invariants_test.go) says of each invariant whether it has one, and
// which tests elsewhere prove those that have none.
//
//	L1 an acknowledged batch is read at its offset until retention or
//	   DeleteRecords passed it, and neither passes what it may not
//	L2 one (partition, offset, epoch) is one value for ever
//	L3 the offset that a producer is told is the one where the batch is read, but
//	   for what its topic's chain takes out
//	L4 no batch of an idempotent producer is read twice
//	L5 an idempotent producer's batches are read in order and without a gap
//	L6 a batch that was refused for good is not read
//	L7 high watermark, log start and local log start never go back, and the local
//	   log starts where the cold tier ends or below
//	L8 the bytes read are sound, and were sent, or are what the chain made of them
//	L9 a lookup by time agrees with a scan
//	L10 along a log leader epochs never fall, and nobody is told of an append by
//	   a leader that another one had replaced
//	P1 replay makes the same segments, and all replicas have the same, byte for
//	   byte
//	W1 a batch of a topic that never had a chain is stored byte for byte as it was
//	   sent, but for base offset and leader epoch
//	W2 a chain is given the bytes that were sent, and a context that is in the log
//	W3 each record of an acknowledged batch is stored, dropped or a dead letter,
//	   and each dead letter is in its topic once, in order
//	W6 what is stored of a batch is what one generation of the chain makes of it
//	W7 generations never fall along a partition's log
//	S1 what is not on the local disk any more is in an object that the manifest
//	   names, and every object that it names is there as it was uploaded
//	S3 no object is deleted that a manifest names, or named less than the grace
//	   ago; in the end none is left that no manifest names, but for the garbage of
//	   uploads and commits whose answers were lost
//	S4 the segments of a manifest, and the local log behind them, leave no gap
//	S5 objects hold the batches that the local log held, and a read of one lacks
//	   none of them
//	C1 members of a generation are told one assignment, in which a partition has
//	   one owner; a commit of an older generation, or of a member that was
//	   replaced, does not count
//	C2 a committed offset is what is read until a newer commit, a deletion or its
//	   retention, also by a topic that was made anew
//	C3 every join phase ends in its time, and soon after the last fault every group
//	   is stable and has read everything
//	C4 where a group begins to read, all before it was processed, and in the end
//	   it has processed all there is
//	R2 nothing is left of deleted topics, of old files, of goroutines, of long polls
//	R3 a full disk refuses batches with errors that are tried again after, fails no
//	   read, and takes batches again when there is space
//	R4 every request is answered once
//	V1 after the last fault everything works within 30 s of virtual time
//
// Some are of no invariant there:
//
//	M1 topics are as the answers to their commands said, on every node
//	   (check_meta.go)
//	self: a broker complains of nothing that no fault explains, and starts
//	   (check_self.go)
//	repair: what the report of a repair does not name as lost is there after it
//	   (repair.go)
//	net: frames go to other nodes, and nobody changes one after it was sent
//	   (network.go)
//
// L2, L7 and L10 hold for what any broker told, also one that was deposed and
// does not know it: what a leader tells is measured by what was told under its
// epoch and older ones, as clients do that know of leader epochs (KIP-320).
//
// Concurrency: a run belongs to one goroutine and starts none. Planted bugs
// (internal/mutant) and the source of random numbers of Raft's timeouts are
// process-wide, so runs must not overlap; tests spread seeds over processes.
//
// Each broker runs the core of the group coordinator (broker/coordinator.Core).
// Groups have members that are slow, pause, crash, leave, come back with their
// static id or beside a process of the same id that still runs, eager or
// cooperative, and consumers that choose their partitions; operators delete
// offsets and groups and move offsets back. Brokers that are about to coordinate a
// group are cut from the controller while a topic is made anew (group_lag.go).
//
// The object store is in memory, outlives the brokers, answers late or not at
// all, does what it said to have given up on, lists without what is new and with
// what is gone, and goes on with what it was asked for when the broker is gone.
// Objects have the product's format; deletions run the product's code on them.
// Readers take what is in the cold tier from the objects that the manifest names:
// they look at the manifest, and wait for tail and batches, whose bodies come in
// pieces, too late, or end early, while the world goes on. How a broker shares and
// caches such reads (tiering/remote) is no core: it starts goroutines.
//
// It does not simulate changes of a group's replicas, the edges of a broker
// (wire, handlers) and what they do with these answers, or the caches of the cold
// tier. With several nodes it has no repair, and with wall clocks that are set it
// does not wait for the cold tier to settle.
package sim
