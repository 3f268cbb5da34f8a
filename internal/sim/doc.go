// Package sim runs one broker's cores under faults: broker/node on the disk in
// memory and on virtual time, in one goroutine, from one seed. It is test code:
// nothing imports it but its own tests.
//
// A seed decides everything: the plan (which faults, how much load, how small
// the disk), what clients and operators do and when, how long each task of the
// broker takes and in what order tasks end, where power is lost and what the
// disk keeps of it. Two runs of one seed have the same trace hash.
//
// What the broker answers and what readers see is judged by checkers, each in a
// file named for the invariant of the design that it stands for:
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
//	L8 the bytes read are the bytes sent, or what the chain made of them
//	L9 a lookup by time agrees with a scan
//	P1 replay makes the same segments
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
//	S5 objects hold the batches that the local log held
//	R2 nothing is left of deleted topics, of old files, of goroutines
//	R4 every request is answered once
//	V1 after the last fault everything works within 30 s of virtual time; that
//	   covers R3, a disk that was full
//	C1 topics are as the answers to their commands said
//
// Concurrency: a run belongs to one goroutine and starts none. Planted bugs
// (internal/mutant) are process-wide, so runs with one must not overlap.
//
// The object store is in memory, outlives the broker, answers late or not at all,
// and goes on with what it was asked for when the broker is gone. Readers take
// what is in the cold tier from the objects that the manifest names.
//
// It does not simulate a network or several brokers, and it does not model
// what the edges of a broker do with these answers; nor does it read objects the
// way a broker does, or simulate their format.
package sim
