package sim

// RareStats counts faults and paths that are there because a plan asks for them.
type RareStats struct {
	TornTails     int // starts that dropped the tail of the log
	LargeWrites   int // of the log, of two blocks or more
	CutWrites     int // of these, in the middle or before whose sync power was lost
	HeaderFlips   int // in headers of files of the log
	NewestFlips   int // in the newest segments
	DirSyncErrors int
}
