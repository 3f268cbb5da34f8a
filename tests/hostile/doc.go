// Package hostile attacks the real broker over raw sockets and judges how it
// bears it.
//
// Every attack has a broker process of its own with small budgets, and beside it
// a victim: an ordinary producer and an ordinary group consumer. After each
// attack:
//
//	H1. The process never held more memory than the bound of docs/memory.md says
//	    for its settings (design invariant R1): its peak resident set is read from
//	    the operating system.
//	H2. Every record of the victim was acknowledged and read back, once and in
//	    order, and none took as long as a client's delivery timeout.
//	H3. Connections, goroutines and file descriptors go back to what they were
//	    (R2), and so does the memory that requests and answers are charged for.
//	H4. A well-formed request gets its answer, in order, or the connection closes
//	    (R4).
//	H5. The process neither ended nor panicked.
//
// The tests have the build tag hostile, since what they measure is not to be
// shared with other tests; `make hostile` runs them.
//
// VARVE_HOSTILE_SCALE multiplies how long and how wide the attacks are; 1 is for
// CI. The table at the end says what each attack met, the peak and the victim's
// longest stall.
//
// Concurrency: attacks run one after the other; what one opens it closes.
//
// It does not: measure throughput, or attack with more than one machine could.
package hostile
