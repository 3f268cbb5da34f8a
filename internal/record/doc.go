// Package record reads, checks and writes Kafka record batches of magic 2, the
// bytes that clients, segments, replicas and remote objects all carry.
//
// A batch is a header of 61 bytes and a run of records, which is compressed as
// a whole when the attributes name a codec. Base offset and leader epoch lie
// outside the checksum, so a leader places a batch without touching the rest.
//
// Invariants:
//
//  1. No function panics, or allocates by a number read from its input, whatever
//     the input is. Lengths are compared with the bytes that are there, and
//     decompressed output is counted against a limit while it appears.
//  2. Functions that read a batch borrow it: they neither change nor keep it.
//     Only SetPlacement and SetTimestamps write to a batch.
//  3. What Validate accepts, ForEach decodes to the same number of records.
//  4. Validate allocates nothing for an uncompressed batch that it accepts.
//  5. Filler and Builder write batches that Validate's walk accepts, apart from
//     what only brokers may do: control records and gaps between offsets.
//  6. Pooled decoders keep no reference to a caller's bytes and show no user the
//     data of another.
//
// Concurrency: every function is safe to call from any goroutine. A Reader or
// a Builder belongs to one goroutine at a time. The package starts no
// goroutine.
//
// The package does not assign offsets, does not look at topics or producer
// state, does no I/O, and reads neither magic 0 nor magic 1, which Kafka 4
// no longer stores either (KIP-724).
package record
