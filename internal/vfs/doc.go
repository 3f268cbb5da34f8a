// Package vfs is the edge between the broker and the disk: one data directory
// behind the FS interface, so that the storage code runs unchanged on a real
// file system (OS), in memory under simulated power losses (Mem) and under
// injected faults (Faulty).
//
// # Invariants
//
//  1. No name leaves the data directory. Every name is checked first
//     (ErrBadName) and OS resolves it inside an os.Root, so a symbolic link
//     cannot leave it either.
//  2. After a successful Sync, every byte written before it, and the length,
//     survive every crash.
//  3. After a successful SyncDir, every creation, rename and removal made in
//     that directory before it survives every crash. MkdirAll does this for
//     every parent of the directory it was asked for, whether or not it made
//     them: an earlier process may have died between mkdir and sync.
//  4. Every error carries the operation and the name, and matches one of the
//     package's sentinels where one applies. io.EOF from ReadAt is bare.
//  5. A Mem is deterministic: the same operations and the same random source
//     give the same disk, whatever the order of maps.
//  6. SyncAll makes durable what a Sync of every file and a SyncDir of every
//     directory would, or fails, or is ErrUnsupported.
//  7. A direct file does what a buffered one does, or refuses what is not
//     aligned with ErrMisaligned. Bypassing the page cache makes nothing durable.
//  8. A Mem after Crash or Kill is dead: every operation on it and on its files
//     returns ErrClosed, so what is left of the crashed broker cannot write.
//
// # Durability model of Mem
//
// Contents. A write is cut into pieces at 4 KiB page borders. A piece is
// unsynced until Sync of its file returns. Truncate and Preallocate are single
// pieces. Sync leaves no unsynced piece.
//
// At a crash, a file starts from its synced content and length; those of its
// unsynced pieces that CrashOptions and the random source let survive are
// applied in the order they were issued. A sector of 512 bytes is atomic: it
// holds one of the states it had since the last Sync, never a mixture. So if a
// piece survives in a sector, earlier pieces survive in that sector too;
// different sectors and different pages are independent. A torn piece keeps a
// part of its sectors. A Truncate survives if a later write into the page of the
// new end, or beyond it, does.
//
// The length after a crash is the synced length, or the largest end of what
// survived beyond it, and smaller only if an unsynced Truncate survived. Bytes
// never written, or lost, below that length read as zero.
//
// Names. Creating, renaming and removing are operations on a directory, kept in
// order until SyncDir. At a crash a prefix of the unsynced operations of each
// directory survives, the length of which is drawn for each directory. One
// operation never survives in part: a rename between two directories survives
// in both or in neither, and making one of them durable makes it durable in
// both. A removed directory disappears only if everything done in it before
// survives as well. A file whose name does not survive is gone, however often
// its content was synced.
//
// Space. Every page that was written or preallocated takes 4 KiB of the
// capacity, holes take none, names and overwrites are free. Truncate and Remove
// give space back at once, but a file that is open holds its pages until the
// last Close. A crash may bring a removed file back while something new takes
// its place: then more than the capacity is used, Free is 0, and writes to new
// pages fail until enough was removed.
//
// A failed Sync (Faulty with *LostSync) dooms the pieces that were unsynced:
// reads still show them, later Syncs succeed and do not save them. A failed
// SyncAll dooms the unsynced pieces of every file.
//
// Direct files. A direct write that returned stands in the cache of the drive,
// which a power loss empties like the page cache: it is as unsynced as any other
// write, may be torn and reordered, and only Sync or SyncAll makes it durable.
// What it overwrites is the synced content of the file, whatever name the file
// had then: where a write to a recycled file is lost, in whole or in part, the
// bytes of its earlier use show.
//
// # Concurrency
//
// All implementations are safe for concurrent use and start no goroutine.
// SyncAll of OS runs one at a time, because the kernel reports a lost write to
// one caller only, and fails for ever once it has failed. Mem
// guards everything with one mutex, which is never held across anything that
// waits. Faulty calls its inject function under its own mutex and the inner
// file system outside it. Truncate and Preallocate of a file must not run
// concurrently with other writes to it.
//
// # What it does not do
//
// It keeps no cache, retries nothing and moves no directories. It does not
// defend against another process that changes the data directory beneath the
// broker; Lock keeps other brokers out. Mem does not model a disk that forgets
// synced data; Faulty corrupts reads and writes for that.
package vfs
