// Package plugins says what a stage and a chain are: their specification as it
// is stored and typed in by operators, and the policy that follows from it. A
// stage is a named use of a plugin with parameters, failure policy and budget;
// the ordered stages of a topic are its chain, and the topic config plugin.chain
// names them.
//
// Invariants:
//
//  1. What ParseStage accepts, StageSpec.JSON writes so that ParseStage reads
//     the same again, and every field is within its bounds.
//  2. Nothing is guessed: an unknown, repeated or misspelt field is refused, and
//     every error names the field, the value and what to write instead.
//  3. A record that fails in a sensitive stage is never passed on (Decide).
//  4. Decide is a total function of its arguments.
//
// Concurrency: specifications are plain values, read-only once parsed. A Breaker
// belongs to one goroutine at a time.
//
// The package runs nothing, resolves no plugin, and knows no topic beyond its
// name: package pipeline runs chains, package deadletter builds dead letters.
package plugins
