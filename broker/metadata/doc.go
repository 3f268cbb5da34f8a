// Package metadata is the state machine of group 0, the cluster metadata:
// which brokers, topics, partitions, settings, features, plugins and stages
// exist, and which identifiers were given away. Commands are proposed to
// group 0's replicated log; once one is committed, every broker feeds it to
// its own Core, and all of them come to the same Image.
//
// # Parts
//
// A Command is what a proposer encodes (Append) and what Apply decodes. An
// Image is the state after some command: immutable, so that request handlers
// read it without a lock for as long as they like. A Delta tells the shell what
// it must do after an Apply, for example start a partition's group. The byte
// layouts of commands and checkpoints are in docs/format/metadata.md.
//
// # Invariants
//
//  1. Apply is a function of the image, the index and the bytes of the entry.
//     It reads no clock, no randomness and no local setting: the same commands
//     give the same images, deltas and checkpoint bytes on every broker and at
//     every replay. Bounds that an operator may change are in the log, too
//     (SetLimits).
//  2. An Image, and everything reachable from it, never changes.
//  3. A refused command (Result.Err without ErrDamaged) changes nothing but the
//     applied index, and a command that asks for what is already so changes
//     nothing either; Image.Version counts real changes only.
//  4. Group ids, replica ids and producer ids only count up. None is ever given
//     away twice, not even after a deletion.
//  5. A topic's ChainGeneration never decreases, and rises with every change of
//     its chain, of a stage that the chain names, or of a plugin that such a
//     stage names (design invariant W7).
//  6. Topic names are unique, also when "." and "_" are taken for the same
//     character; topic ids and the groups of partitions are unique.
//  7. What Append encoded, Decode accepts; what Decode accepts, Append encodes
//     to the same bytes. The same holds for Marshal and Restore.
//  8. Every list and string is bounded, and a length read from bytes is checked
//     against what is left of them before anything is allocated.
//
// # Concurrency
//
// One goroutine, the owner of group 0's replica, calls Apply, Restore, Marshal
// and Applied. Image may be called by any goroutine at any time; it is one
// atomic load. The package starts no goroutine and does no I/O.
//
// # Not here
//
// Names and values of settings are opaque: validating them is the work of the
// configuration registry, before a proposal. Authorization, which broker is
// alive, leaders of partitions and good placement of replicas are elsewhere;
// Apply only spreads replicas evenly where a command carries no assignment.
package metadata
