//go:build unix && !linux

package wasm

import "fmt"

// Setting back copies the image and maps new zeros behind it.
const resetIsLazy = false

// A snapshot is the memory part of an image.
type snapshot struct {
	bytes  []byte
	prefix int
}

// newSnapshot copies what of mem is not zero.
func newSnapshot(mem []byte) (*snapshot, error) {
	n := usedPrefix(mem)
	s := &snapshot{bytes: make([]byte, n), prefix: n}
	copy(s.bytes, mem)
	return s, nil
}

func (s *snapshot) close() error {
	s.bytes = nil
	return nil
}

func (r *region) advise() {}

// attach makes the region show the snapshot, whatever it held.
func (r *region) attach(s *snapshot) error {
	r.image = s
	return r.reset(window{}, 0)
}

// reset puts the snapshot back.
func (r *region) reset(window, int) error {
	s := r.image
	copy(r.mem, s.bytes)
	if err := r.remap(s.prefix, len(r.mem)-s.prefix, -1, anonymous); err != nil {
		return fmt.Errorf("reset guest memory: %w", err)
	}
	return nil
}
