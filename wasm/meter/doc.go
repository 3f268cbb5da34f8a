// Package meter rewrites a WebAssembly module so that the broker can run it
// without trusting it: every instruction is paid for in fuel, recursion has a
// depth, memory does not grow physically, and what a call changed can be found
// and put back. It works on bytes and knows no runtime.
//
// Fuel. Each instruction costs 1 (block, loop, else and end cost nothing, a call
// of an import costs Options.ImportCost). Bulk memory and table instructions
// cost 1 more per 8 bytes or per element; a function with more than 64 locals
// costs 1 more per 4 locals above. A function body is cut into regions: a region
// is entered only at its start, is charged there, and ends where a loop begins
// or where a branch may have gone around the code that follows. Small pieces
// that may be skipped (up to FoldMax instructions together) are charged with the
// region before them instead of on their own.
//
// Invariants:
//
//  1. Charged fuel is never less than the instructions executed, and a region
//     that ran to its end without a trap overcharged by at most FoldMax. The
//     charge is a function of the path taken, so equal runs charge equal fuel.
//  2. In one function at most CheckRun instructions run between two checks, and
//     a few hundred after a call that came back: function entries and loop headers
//     check, and straight code does so again. A bulk memory instruction checks
//     before every 64 KiB, one on a table once.
//  3. A check that finds the slice used up leaves the guest through
//     memory.grow 0, where the runtime can collect and schedule, and traps if
//     the host asked for a stop or the fuel is gone. Fuel and slice together
//     are what is left at any time.
//  4. Calls on the stack weigh at most Options.DepthMax. A call weighs 1, more
//     with very many locals or a very long body, so the stack is bounded too.
//  5. Memory 0 has its physical size from the start. memory.size and
//     memory.grow work on a counter, so putting back bytes and globals puts
//     back everything (a module that writes tables or drops segments says so in
//     Info.WritesTables).
//  6. No index of the input changes its meaning, nothing in the input can name
//     what the rewriter added, and a module that was invalid stays invalid.
//  7. Any input gives a result or an error, in time and memory linear in its
//     size; lengths are checked before anything is allocated.
//
// An access between the size that the guest sees and the physical size does not
// trap, except in bulk instructions, which check against the size that the
// guest sees. It reaches nobody else's bytes.
//
// Concurrency: functions only; every call is independent of every other.
//
// The package does not type-check function bodies: the runtime that compiles
// the result does. It does not decide which imports or exports a plugin may
// have, and it does not run anything.
package meter
