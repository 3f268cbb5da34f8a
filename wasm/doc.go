// Package wasm runs plugins: it checks, meters and compiles modules, makes pools
// of instances, calls hooks and sets instances back. It is the only importer of
// wazero, and nothing of wazero shows in its interface.
//
// Invariants (W and R as in the architecture page):
//
//  1. Output and fuel of a call are a function of module, parameters, frame,
//     context and budget (W2): after every call the instance is set back to the
//     pool's image, or replaced where a module writes tables. The wall clock
//     decides nothing.
//  2. Whatever a module does, the caller gets a Result or an error, and other
//     modules go on (W4): a trap, an exit and a bad pointer are results.
//  3. Nothing of a call is left for the next one (W5): memory, globals, clock,
//     randomness and log budget begin anew.
//  4. Guest memory is mapped outside the Go heap, is bounded per instance by the
//     pool's page limit and over all instances by Options.MemoryBytesMax (R1).
//  5. Close gives back every mapping and every instance, and no mapping goes
//     while a guest may still touch it.
//
// Concurrency: Runtime, Module and Pool may be used by any goroutine. An instance
// is used by one goroutine at a time; Pool.Call blocks until one is free. Stop
// writes one global of running instances from outside, which the guest reads at
// its next check. The package starts no goroutine.
//
// It does not frame records, read verdicts, choose budgets or decide what a trap
// means for a record; and it runs only where wazero has a compiler (amd64 and
// arm64), since its interpreter is far too slow to stand in.
package wasm
