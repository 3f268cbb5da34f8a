package sim

import (
	"fmt"
	"time"
)

// streamRarePlan and streamRare draw what this part of a plan says, and when and
// how it happens, so that the rest of a run is drawn as it was.
const (
	streamRarePlan = 1101
	streamRare     = 1102
)

// planRare is the part of a plan that makes happen what would hardly ever happen
// by itself: large group commits and a loss of power in the middle of one, bits
// that flip where the other flips do not, failed syncs of directories, producers
// that are forgotten or come back from the dead, replicas that lag behind what is
// kept, topics that grow.
type planRare struct {
	rareEvery  time.Duration // mean time between the faults of this part; 0: none
	slowCommit time.Duration // mean time that a group commit takes more, so that more gathers for the next
	cutWrite   bool          // power is lost inside a log write of several blocks, or before its sync
	flipAny    bool          // bits flip in headers of the log's files and in the newest segments, and power is lost with them
	syncDir    bool          // syncs of directories and of segments fail
	expiry     time.Duration // after which a silent producer is forgotten; 0: a day
	zombies    bool          // a producer's old instance goes on after a new one began
	keepBytes  int64         // of applied entries for replicas that lag; 0: as always
	lag        bool          // a replica is cut off, and then far behind on a slow link
	grow       bool          // topics get more partitions
}

// String describes what is not as in a plan without this part.
func (p *planRare) String() string {
	if *p == (planRare{}) {
		return ""
	}
	return fmt.Sprintf("; rare every %v: slow commits %v, cut writes %v, any flips %v, sync dir %v, expiry %v, zombies %v, keep %d, lag %v, grow %v",
		p.rareEvery.Round(time.Millisecond), p.slowCommit, p.cutWrite, p.flipAny, p.syncDir, p.expiry, p.zombies, p.keepBytes, p.lag, p.grow)
}

// drawRare draws this part of a plan, after all of the others.
func (p *plan) drawRare(seed uint64) {
	r := stream(seed, streamRarePlan)
	one := func(of int) bool { return r.IntN(of) == 0 }
	every := p.length / time.Duration(2+r.IntN(10))
	slow := pick(r, 5*time.Millisecond, 20*time.Millisecond, 60*time.Millisecond)
	expiry := max(p.length/time.Duration(3+r.IntN(10)), time.Second)
	keep := pick(r, int64(4<<10), 16<<10, 64<<10, 256<<10)
	q := planRare{cutWrite: one(3), flipAny: one(4), syncDir: one(4), zombies: one(3), grow: one(4)}
	if one(3) {
		q.expiry = expiry
	}
	if one(2) && p.nodes > 1 {
		q.keepBytes = keep
	}
	if p.faultEvery == 0 {
		q.cutWrite, q.flipAny, q.syncDir = false, false, false
	}
	if q.cutWrite {
		q.slowCommit = slow
	}
	q.lag = q.keepBytes > 0 && p.faultEvery > 0
	if q.cutWrite || q.flipAny || q.syncDir || q.lag {
		q.rareEvery = every
	}
	// A clock that is set forward makes every producer silent for long, and what
	// a zombie does must be known to be forbidden.
	if p.clock > 0 {
		q.expiry = 0
	}
	if q.expiry > 0 {
		q.zombies = false
	}
	p.planRare = q
}

// quietRare leaves this part out.
func (p *plan) quietRare() { p.planRare = planRare{} }

// quietRareFaults leaves out what goes wrong in this part.
func (p *plan) quietRareFaults() {
	p.rareEvery, p.cutWrite, p.flipAny, p.syncDir, p.zombies, p.lag = 0, false, false, false, false, false
}
