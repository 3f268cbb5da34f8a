package host

import (
	"encoding/binary"
	"math"

	"github.com/varvelog/varve/wasm/abi"
)

var le = binary.LittleEndian

// bootTime is what the clock of a plugin shows while an instance is made, in ms:
// 2000-01-01. It is constant, so that every broker makes the same image, and not
// zero, which the Go runtime refuses.
const bootTime = 946_684_800_000

// Boot is the context in which an instance is made.
var Boot = abi.Context{AppendTime: bootTime}

// Log receives a line of a plugin: valid UTF-8, at most abi.MaxLogLineBytes. The
// level is 0 (debug) to 3 (error). It is called on the goroutine of the call and
// must not block.
type Log func(level int, line string)

// State is what host functions keep for one instance during one call.
type State struct {
	log     Log // nil: not granted
	now     int64
	random  uint64
	charged int64

	lines   int
	dropped int
	partial []byte // a line written to fd 1 or 2 that has not ended
}

// NewState returns the state of an instance. log is nil if the capability is not
// granted: then everything that would be logged vanishes.
func NewState(log Log) *State { return &State{log: log} }

// Begin starts a call. Nothing of the call before it is left.
func (s *State) Begin(c *abi.Context) {
	s.now = c.AppendTime * 1_000_000
	s.random = c.Seed
	s.charged = 0
	s.lines, s.dropped = 0, 0
	s.partial = s.partial[:0]
}

// End ends a call: it logs what was written without a line's end, and returns
// how many lines were dropped for being too many.
func (s *State) End() (dropped int) {
	s.flush()
	return s.dropped
}

// TakeCharge returns the fuel that functions charged since the last TakeCharge.
func (s *State) TakeCharge() int64 {
	c := s.charged
	s.charged = 0
	return c
}

// charge accounts for n bytes that a function works on.
func (s *State) charge(n uint64) { s.charged += int64((n + 7) / 8) }

// next is the SplitMix64 sequence that begins at the seed.
func (s *State) next() uint64 {
	s.random += 0x9e3779b97f4a7c15
	z := s.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// advance moves the clock on by ns, never past its end.
func (s *State) advance(ns uint64) {
	left := uint64(math.MaxInt64 - s.now)
	if s.now < 0 {
		left = math.MaxInt64
	}
	s.now += int64(min(ns, left))
}

// view returns n bytes of mem at ptr; ok is false if they are not all there.
func view(mem []byte, ptr, n uint64) (p []byte, ok bool) {
	ptr, n = uint64(uint32(ptr)), uint64(uint32(n))
	if ptr+n > uint64(len(mem)) {
		return nil, false
	}
	return mem[ptr : ptr+n : ptr+n], true
}
