// Package builtin holds the plugins that come with the broker, compiled from
// src/ by scripts/build-plugins.sh. They are ordinary modules: what they may do
// and how they are run is what holds for any other.
//
// Invariants:
//
//  1. Every module passes the checks of an upload, asks for no capability and
//     imports nothing.
//  2. The committed modules are what their sources give; the script checks it
//     with --check.
//
// Concurrency: the package has no state; its slices are the caller's.
//
// It does not register, compile or run anything.
package builtin
