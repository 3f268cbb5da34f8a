package replog

import (
	"errors"

	"github.com/varvelog/varve/internal/ident"
)

// Errors that a proposer is told through Machine.Dropped.
var (
	// ErrNotLeader: this replica does not lead the group, or stopped leading it
	// before the entry was committed. The entry may still be committed.
	ErrNotLeader = errors.New("replog: not the leader")
	// ErrNoSpace: the write-ahead log or the disk had no room for the entry
	// within the time that a proposal may wait. It was not written.
	ErrNoSpace = errors.New("replog: no space")
	// ErrBusy: the queue of proposals that wait for space is full.
	ErrBusy = errors.New("replog: too many bytes wait for space")
	// ErrParked: the group met damage and applies nothing any more.
	ErrParked = errors.New("replog: group is parked")
	// ErrFailed: the write-ahead log failed; the broker must stop.
	ErrFailed = errors.New("replog: write-ahead log failed")
	// ErrEmpty: a proposal without data, which is Raft's own.
	ErrEmpty = errors.New("replog: empty proposal")
	// ErrUnknownGroup: no such group was started.
	ErrUnknownGroup = errors.New("replog: unknown group")
	// ErrDamaged: recovered state that cannot be used.
	ErrDamaged = errors.New("replog: damaged state")
)

// Entry is a committed entry.
type Entry struct {
	Index, Term uint64
	// Data is what was proposed. It is immutable and may be kept. Empty for the
	// entry by which a new leader starts its term.
	Data []byte
	// Token is what the proposer gave if this replica proposed the entry in
	// this life of the process, else nil.
	Token any
}

// Machine is the state machine of one group. The engine calls it from its
// owner's goroutine only; no method may block, except that Apply may read
// through vfs.
type Machine interface {
	// Apply applies the next entry. An error or a panic parks the group; the
	// machine must then be as it was, or refuse to serve.
	Apply(e Entry) error
	// Dropped tells a proposer that its entry will not be applied by this
	// replica as its own: ErrNotLeader, ErrNoSpace, ErrBusy, ErrParked,
	// ErrFailed. It must not propose. It is also called for the entry whose
	// Apply failed, which may have been answered before.
	Dropped(token any, err error)
	// Lead tells that this replica leads and has applied an entry of its own
	// term, so what it knows is complete. Unlead ends that.
	Lead(term uint64)
	Unlead()
	// Parked tells that the group was parked.
	Parked(err error)

	// Capture takes the machine's state after the last applied entry for a
	// checkpoint, and begins to make whatever it claims about files durable.
	// A later Capture replaces it.
	Capture()
	// Flushed reports whether everything that the captured state claims is
	// durable. If the state can no longer become durable (files that it names
	// were given up since), stale asks the engine to capture again.
	Flushed() (done, stale bool)
	// State returns the captured state. It is called once Flushed says done;
	// the engine keeps the slice.
	State() []byte
	// Work returns the next I/O that is ready to be performed, or nil. With
	// flush everything that the captured state claims must come; without it only
	// what is worth writing now. Several may be in flight at once.
	Work(flush bool) Task
	// Worked takes the outcome of a task that Work returned. After an error the
	// machine returns the work again, but not before Retry was called. What it
	// returns is fatal for the whole data directory (a failed sync, after which
	// nothing on that disk is known): the engine fails.
	Worked(t Task, err error) error
	// Retry allows work that failed to be tried again.
	Retry()
	// Durable tells that a checkpoint with the captured state is durable, so
	// that files which it no longer names may be unlinked (by Work).
	Durable()
	// Close releases files. The machine is not used afterwards.
	Close()
}

// Class groups tasks by what they load.
type Class uint8

// The classes of tasks. The owner runs each class with its own bound.
const (
	ClassCommit  Class = iota // write-ahead log: at most one at a time is ever given
	ClassPrepare              // making the next write-ahead log file, removing old ones
	ClassSegment              // segment writes
	ClassSync                 // syncs of segments, and unlinking
)

// Task is one piece of I/O.
type Task interface {
	// Do performs it and blocks for as long as that takes. It is called once,
	// on any goroutine.
	Do() error
	Class() Class
}

// SharedSync is a Task of ClassSync that leaves its sync to the engine, which makes
// what many machines wrote durable by one sync of the whole file system. A
// machine's tasks need not have this.
//
// After Share, Do only writes. The engine keeps the task when Do succeeded, and
// calls Worked with it only when a sync that began later has ended: no other task
// of this kind may come from the machine until then. A sync that fails fails the
// engine, and Worked is not called.
type SharedSync interface {
	Task
	// Share is called before Do, on the owner, and reports whether the task agrees.
	Share() bool
	// Flush is the sync that Do left out. It is called on any goroutine, after Do,
	// and only where the file system offers no sync of everything.
	Flush() error
}

// Spec names a group and its replica on this broker.
type Spec struct {
	ID      ident.GroupID
	Replica ident.ReplicaID
	// Voters of a new group; a group that has state knows them itself.
	Voters []ident.ReplicaID
}
