package sim

import (
	"errors"
	"time"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// server is one machine: a disk, a clock, and the broker that runs on it, or
// does not.
type server struct {
	s        *run
	id       ident.NodeID
	disk     *disk
	broker   *broker // nil: down
	stopping bool    // for a clean shutdown
	clock    clock

	touched bool     // something happened to its broker that it must be polled for
	frozen  bool     // the machine stands still
	thaws   int      // counts how often it went on
	held    []func() // what happened to it meanwhile
}

func newServer(s *run, id ident.NodeID, capacity int64) *server {
	sv := &server{s: s, id: id, clock: clock{set: s.plan.clock > 0}}
	sv.disk = newDisk(sv, capacity)
	return sv
}

// now returns what the machine's clock shows.
func (sv *server) now() time.Time { return sv.clock.show(sv.s.now) }

// log notes what happened on this machine.
func (sv *server) log(format string, args ...any) {
	if len(sv.s.servers) > 1 {
		format, args = "node %d: "+format, append([]any{sv.id}, args...)
	}
	sv.s.log(format, args...)
}

// after calls do later, on this machine: not while it stands still.
func (sv *server) after(d time.Duration, do func()) { sv.s.after(d, func() { sv.perform(do) }) }

// perform lets something happen on this machine now, or when it goes on.
func (sv *server) perform(do func()) {
	if sv.frozen {
		sv.held = append(sv.held, do)
		return
	}
	sv.touched = true
	do()
}

// settle ends the broker if power was lost or it failed, else lets it work.
func (sv *server) settle() {
	s, b := sv.s, sv.broker
	switch {
	case sv.disk.lost:
		s.stats.Cuts++
		sv.log("power: lost in the middle of a task")
		sv.down(true)
	case b == nil:
	case b.node.Err() != nil:
		sv.log("broker: fails: %v", b.node.Err())
		sv.down(s.rng.fault.IntN(2) == 0)
	case !s.polled && !sv.frozen:
		b.wake()
	}
}

// open starts the broker, as often as it takes.
func (sv *server) open() {
	s := sv.s
	s.stats.Opens++
	sv.touched = true
	b := &broker{s: s, server: sv}
	n, rec, err := node.Open(b.config(), sv.now())
	switch {
	case sv.disk.lost:
		s.stats.Cuts++
		sv.log("power: lost in the middle of a start")
		sv.down(true)
		return
	case errors.Is(err, wal.ErrCorrupt) && len(sv.disk.flips) > 0:
		s.stats.Refusals++
		sv.log("broker: refuses to start: %v", err)
		sv.checkRefusal(err)
		sv.disk.unflip()
		sv.down(false)
		return
	case errors.Is(err, errSync):
		sv.log("broker: does not start: %v", err)
		sv.down(s.rng.fault.IntN(2) == 0)
		return
	case errors.Is(err, vfs.ErrNoSpace) && s.plan.full:
		s.stats.Full++
		sv.log("broker: does not start: %v; the operator makes room", err)
		sv.disk.ballast(4 * s.plan.walMax)
		sv.down(false)
		return
	}
	sv.checkStart(err)
	sv.log("broker: started; %d groups, checkpoint %d, %d bytes, tail dropped %v", len(rec.Groups), rec.Checkpoint, rec.Bytes, rec.DroppedTail)
	if rec.DroppedTail {
		s.stats.TornTails++
	}
	b.node = n
	sv.broker = b
	b.tick()
	b.wake()
}

// down ends the broker's life, by a loss of power or by its own end, and starts
// another one soon.
func (sv *server) down(power bool) {
	s := sv.s
	sv.fall(power)
	wait := mean(s.rng.fault, 300*time.Millisecond)
	if s.faulty() && s.plan.flipWAL && s.rng.fault.IntN(2) == 0 {
		sv.disk.flipInWAL()
	}
	if s.faulty() && s.plan.cut && s.rng.fault.IntN(3) == 0 {
		sv.disk.cut = 1 + s.rng.fault.IntN(60)
	}
	sv.rise(wait)
}

// fall ends the broker's life.
func (sv *server) fall(power bool) {
	s := sv.s
	sv.noteLayout()
	sv.ended()
	sv.stopping = false
	sv.thaw()
	if power {
		how := vfs.CrashOptions{}
		if n := len(s.plan.crash); n > 0 {
			how = s.plan.crash[s.rng.fault.IntN(n)]
		}
		if sv.disk.rare.how != nil {
			how = *sv.disk.rare.how
		}
		sv.disk.powerLoss(how)
		sv.log("power: back, %+v, disk %x", how, sv.disk.mem.Digest())
	} else {
		sv.disk.killed()
		sv.log("broker: killed")
	}
	s.disconnected(sv)
}

// peers returns the nodes that vote on the cluster's metadata.
func (sv *server) peers() []node.Peer {
	if sv.s.alone() {
		return nil
	}
	var out []node.Peer
	for _, o := range sv.s.servers {
		out = append(out, node.Peer{Node: o.id, Replica: ident.ReplicaID(o.id)})
	}
	return out
}

// rise starts the broker again after some time.
func (sv *server) rise(wait time.Duration) {
	sv.s.after(wait, func() {
		if sv.broker == nil {
			sv.open()
		}
	})
}

// ended notes that the broker's life is over.
func (sv *server) ended() {
	if sv.broker != nil {
		sv.broker.ended = sv.s.now
		sv.s.stats.noteLife(sv.broker.node.Stats())
	}
	sv.broker = nil
}

// freeze has the machine stand still for some time, as a process that is
// stopped and goes on.
func (sv *server) freeze(d time.Duration) {
	if sv.frozen {
		return
	}
	sv.log("fault: the machine stands still for %v", d)
	sv.frozen = true
	turn := sv.thaws
	sv.s.after(d, func() {
		if sv.frozen && sv.thaws == turn {
			sv.log("the machine goes on")
			sv.thaw()
		}
	})
}

// thaw lets the machine go on with all that happened to it meanwhile.
func (sv *server) thaw() {
	if !sv.frozen {
		return
	}
	sv.frozen = false
	sv.thaws++
	held := sv.held
	sv.held = nil
	for _, do := range held {
		sv.after(0, do)
	}
}
