package replog

// paceSteps is how often the budget of clients is halved between half of the
// bound of the replay debt and all of it.
const paceSteps = 10

// paced returns how many bytes of clients' proposals may be on their way into
// the write-ahead log at once: the whole budget up to half of the bound, then
// less and less, and nothing at the bound.
//
// A full debt lets nobody go on until a checkpoint is complete, which takes as
// long as everything unwritten takes to be written. Long before that the log is
// to leave the disk to the segments. How many bytes clients have outstanding is
// theirs to choose, from one batch to many megabytes, so the budget shrinks by a
// constant factor for each part of the way: whoever has much is slowed down
// first, and everybody is in the end.
func paced(debt, bound, budget int64) int64 {
	begin := bound / 2
	switch {
	case debt >= bound:
		return 0
	case debt <= begin || budget <= 0:
		return max(budget, 0)
	}
	// Tenths of a step, so that nothing overflows below 2^56 bytes of debt.
	way := (debt - begin) * paceSteps * 10 / (bound - begin)
	budget >>= way / 10
	return budget - budget/2*(way%10)/10
}

// pacing is where the pace of clients is kept.
type pacing struct {
	bound    int64 // debt at which the write-ahead log has no room for clients
	admitted int64 // bytes that are not yet enqueued
}

// debtBound returns at which debt the write-ahead log may refuse clients: a file
// is free again only when all of it is below the checkpoint.
func debtBound(c *Config) int64 {
	return max(c.WAL.BytesMax-c.WAL.FileBytes-c.WAL.ReserveBytes, c.WAL.FileBytes)
}

// pace reports whether a client's proposal of that cost may go on its way. One
// may whenever nothing else is: there must be something to write, so that what
// waits is looked at again.
func (e *Engine) pace(cost int64) bool {
	flight := e.wal.Outstanding() + e.pacing.admitted
	return flight == 0 || flight+cost <= paced(e.wal.Debt(), e.pacing.bound, e.c.WaitBytesMax)
}

// wait puts a client's proposal at the end of those that wait.
func (e *Engine) wait(s stalled) {
	n := int64(len(s.p.data))
	if !e.pace(s.p.cost) {
		e.stats.PacedBytes += uint64(n)
	}
	e.stalled = append(e.stalled, s)
	e.stalledBytes += n
}
