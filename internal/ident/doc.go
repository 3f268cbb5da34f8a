// Package ident holds the identifiers that travel through every layer of the
// broker, so that two integers of different meaning can never be exchanged by
// accident. It knows no subsystem, starts no goroutine and does no I/O.
package ident
