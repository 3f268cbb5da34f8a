// Package failpoint kills the broker's own process at a named place, and makes
// its disk fail, so that tests can try the real binary where it hurts most.
//
// It does this only in a binary that was built with the tag `failpoints`.
// Without the tag Enabled is a constant false, Hit is empty and FS returns what
// it is given: a released binary holds none of it.
//
// Places. A few are lines in production code, `failpoint.Hit(failpoint.X)`. Most
// are operations on the disk: FS names each by what it works on and what it
// does, as in `wal.write.torn` or `segment.remove.before`; see names.go.
//
// A tagged binary reads these variables, and takes them out of its environment:
//
//	VARVE_FAILPOINT          NAME:N     die at the N-th time that NAME is passed
//	                         time:MS    die after so many milliseconds
//	                         ONE,OTHER  die at what comes first
//	VARVE_FAILPOINT_POWER    SEED       dying loses unsynced writes, see below
//	VARVE_FAILPOINT_CONTROL  FILE       what the disk does, see control.go
//
// Invariants:
//
//	F1. Without the tag nothing is linked in that could end the process.
//	F2. A process that died here wrote two lines to stderr first: "failpoint:
//	    passed NAME=COUNT ..." of all places, and "failpoint: died at NAME".
//	F3. With VARVE_FAILPOINT_POWER set, nothing is lost that a successful Sync,
//	    SyncDir or MkdirAll made durable; of the rest any part may be, as far as
//	    the model of vfs.Mem allows.
//
// Power. A killed process loses nothing that it wrote: the page cache stays. So
// FS keeps what unsynced writes replaced, and the names that unsynced creations,
// renames and removals changed, and takes a part of them back before the process
// dies. What it cannot show is a disk that acknowledges a sync and forgets, or
// damage beside what was written; the simulator does.
//
// Only what goes through package vfs is taken back: the object store (another
// machine, elsewhere) and the index of the cold tier's cache are as kill -9 left
// them.
//
// Concurrency: everything may be called from any goroutine.
//
// It does not: choose places or judge what is left; that is tests/crash.
package failpoint
