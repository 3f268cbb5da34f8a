package plugins

// Bounds of a breaker's window, in records.
const (
	MinBreakerWindow     = 10
	MaxBreakerWindow     = 10_000_000
	DefaultBreakerWindow = 1000
)

// A Breaker watches the failures of one stage on one partition. It is open while
// at least Ratio of the records of its window failed. The window is the current
// half and the whole half before it, so that it reaches back over half to all of
// Window records; it does not judge before half a window has been seen. Records
// go on through the stage while it is open, so it closes by itself when they are
// good again, and only then.
//
// The zero value of a Breaker is closed and ready.
type Breaker struct {
	before, now counts
}

type counts struct{ records, failures int64 }

// Observe adds what one batch brought: of so many records, so many failed.
func (b *Breaker) Observe(s BreakerSpec, records, failures int) {
	if records <= 0 {
		return
	}
	b.now.records += int64(records)
	b.now.failures += int64(min(max(failures, 0), records))
	if b.now.records >= half(s) {
		b.before, b.now = b.now, counts{}
	}
}

// Open says whether dead-lettering is to be rejection.
func (b *Breaker) Open(s BreakerSpec) bool {
	records, failures := b.before.records+b.now.records, b.before.failures+b.now.failures
	return s.Ratio > 0 && records >= half(s) && float64(failures) >= s.Ratio*float64(records)
}

func half(s BreakerSpec) int64 { return max(int64(s.Window)/2, 1) }
