// Package wire is the protocol shell of the Kafka listeners: it accepts
// connections, cuts their bytes into frames, reads request headers, hands each
// request to a Handler in order, and writes the replies in the same order. It
// knows headers and bytes, not what a request means.
//
// Invariants:
//
//  1. A request is answered once, in the order of its connection, or the
//     connection closes (design invariant R4). A second answer changes nothing
//     that was written.
//  2. Only the length and eight header bytes of a frame are read before its API
//     key, version and length are known to be acceptable; memory for the rest
//     is taken from a budget first, and waiting for it is backpressure (R1).
//  3. A frame's buffer and its share of the budget are given back exactly once:
//     by Release, when the reply is written, or when a request of a closed
//     connection is answered. A handler therefore answers every request, also
//     those whose client has left.
//  4. Requests with large frames (Produce, and what decodes to more than the
//     budget of the others) and all others draw on separate budgets, each first
//     come, first served, so a backlog of produce never holds up heartbeats, and
//     a large frame is never starved by small ones. A single frame always fits
//     into an idle budget with all that it is charged; one that would not is
//     refused.
//  5. At most InFlightMax requests of a connection are unanswered or unwritten;
//     at the limit the connection is not read.
//  6. When a connection closes its hooks run once and its goroutines end;
//     nothing of it stays but requests that its handler has yet to answer (R2).
//  7. Every wait for a client has a bound: handshake, idle, a started frame, a
//     write. Who holds memory that others wait for has a shorter one (PressedMax),
//     and a frame of which nothing has come holds none.
//  8. Answers that clients have not taken are counted. Large ones reserve their
//     memory first (Reserve), one for each connection at a time and first come,
//     first served; while the others use up theirs, no request is read but those
//     with AnswerSmall, and at twice as much none at all. Requests of a few bytes
//     whose answers may be large are handled a few at a time, and a connection that
//     owes an eighth of that memory is not read: so many who read nothing take
//     little more than there is. What frames hold while they arrive and while they are
//     handled are separate budgets, so that waiting never goes in a circle.
//
// Concurrency: a server has one goroutine per Serve call and two per
// connection. The reader runs the TLS handshake, reads frames and calls
// Handler.Serve; the writer writes all replies. Neither waits for the other but
// through the connection's queue. Requests are answered from any goroutine.
// Locks are leaves, but for those of budgets, which come after a connection's: no
// lock is held while a hook, a handler or a log is called,
// nor across a read or a write.
//
// A connection ends in one of two ways. It closes at once when its client
// leaves, stalls or a write fails. It ends in order, after the replies to what
// was already read, on malformed input, Fail, Conn.End and Server.Shutdown;
// until then its input is read and thrown away, so that the departure of the
// client is seen and the last replies are not lost to a TCP reset.
//
// The package does not decode bodies, authenticate, authorise or compute
// quotas, and it does not detect that a client left while its connection is
// muted or at InFlightMax: then the next read or write finds out.
package wire
