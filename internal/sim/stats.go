package sim

import (
	"github.com/varvelog/varve/broker/replog"
)

// RareStats counts faults and paths that are there because a plan asks for them,
// and those that happen seldom enough to stop happening unseen.
type RareStats struct {
	TornTails     int // starts that dropped the tail of the log
	LargeWrites   int // of the log, of two blocks or more
	CutWrites     int // of these, in the middle or before whose sync power was lost
	HeaderFlips   int // in headers of files of the log
	NewestFlips   int // in the newest segments
	FlipsOutlast  int // flips that a loss of power left
	DirSyncErrors int
	NoSpace       int // operations and batches for which there was no space

	Expiries int // times that a broker forgot all producers of a partition
	Zombies  int // old instances of producers that went on
	Fenced   int // of these, those that were told so
	Grown    int // topics that got more partitions

	Lags                                                             int // times that a node was cut off to fall behind
	AdoptionsBegun, AdoptionsExtended, AdoptionsAbandoned, Adoptions int // of another replica's state

	RepairsLost                            int // repairs that lost something, and the load went on
	LostWithTier, LostOffsets, LostLetters int // of these, where that was of a partition with objects, of groups, of dead letters
	RepairedHeaders                        int // headers of files of the log that were damaged too
	NamedAgain                             int // times that a manifest named an object which was gone for that

	Finds, FoundGone, Vanished int // searches for objects; those that found one gone; objects that somebody deleted

	OneWayCuts, FramesTwice, FramesLate                  int
	StoreFails, AnswersLost, StoreHalf, StoreLate, Stale int // operations of the object store; Stale: objects that a list hid or made up
}

// noteTask takes down how a task of a broker ended, or a batch.
func (s *RareStats) noteTask(err error) {
	if lacksSpace(err) {
		s.NoSpace++
	}
}

// noteTrouble takes down what goes wrong with an operation of the object store.
func (s *RareStats) noteTrouble(what trouble) {
	switch what {
	case before:
		s.StoreFails++
	case after:
		s.AnswersLost++
	case halfway:
		s.StoreHalf++
	case late:
		s.StoreLate++
	}
}

// noteLife takes down what a broker did in its life.
func (s *RareStats) noteLife(l replog.Stats) {
	s.AdoptionsBegun += int(l.AdoptionsBegun)
	s.AdoptionsExtended += int(l.AdoptionsExtended)
	s.AdoptionsAbandoned += int(l.AdoptionsAbandoned)
	s.Adoptions += int(l.Adoptions)
}
