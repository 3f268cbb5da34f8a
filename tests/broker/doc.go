// Package broker runs the real broker binary for black-box tests.
//
// Invariants:
//
//	B1. A broker that Start returned serves requests.
//	B2. The environment's VARVE_ settings reach no broker: a test says what it
//	    sets.
//	B3. A broker listens outside the range the system takes ports of outgoing
//	    connections from. A client that retries while the broker is down would
//	    otherwise end up connected to itself, on the broker's own port.
//	B4. No broker outlives its test.
//
// Concurrency: a Process belongs to the test's goroutine; Log may be called
// from any.
//
// It does not: speak the protocol, or judge what a broker logs.
package broker
