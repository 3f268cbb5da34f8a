package host

import (
	"bytes"
	"strings"

	"github.com/varvelog/varve/wasm/abi"
)

const (
	levelInfo  = 1
	levelError = 3
)

// log is varve.log(level, ptr, len). A bad pointer logs nothing.
func log(s *State, mem []byte, stack []uint64) error {
	level, ok := int(uint32(stack[0])), false
	line, ok := view(mem, stack[1], stack[2])
	if !ok {
		return nil
	}
	line = line[:min(len(line), abi.MaxLogLineBytes)]
	s.charge(uint64(len(line)))
	s.line(min(max(level, 0), levelError), line)
	return nil
}

// write takes what was written to standard output or error and logs the lines
// that it completes. It looks at no more than the lines that are kept.
func (s *State) write(p []byte) {
	if s.log == nil {
		return
	}
	for len(p) > 0 && s.lines < abi.MaxLogLines {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		room := abi.MaxLogLineBytes - len(s.partial)
		s.partial = append(s.partial, line[:min(len(line), room)]...)
		if !ended {
			return
		}
		s.flush()
		p = rest
	}
	s.dropped += bytes.Count(p, []byte{'\n'})
}

func (s *State) flush() {
	if len(s.partial) > 0 {
		s.line(levelInfo, s.partial)
		s.partial = s.partial[:0]
	}
}

func (s *State) line(level int, line []byte) {
	switch {
	case s.log == nil:
	case s.lines >= abi.MaxLogLines:
		s.dropped++
	default:
		s.lines++
		s.log(level, strings.ToValidUTF8(string(line), "\uFFFD"))
	}
}
