package replog

import (
	"encoding/binary"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
)

// state is one group's part of a checkpoint (docs/format/wal.md).
type state struct {
	term, vote, commit   uint64
	applied, appliedTerm uint64
	voters               []ident.ReplicaID
	machine              []byte
}

const stateVersion = 1

func (s *state) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, 1+5*8+4+8*len(s.voters)+4+len(s.machine))
	b = append(b, stateVersion)
	for _, v := range []uint64{s.term, s.vote, s.commit, s.applied, s.appliedTerm} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, uint32(len(s.voters)))
	for _, v := range s.voters {
		b = le.AppendUint64(b, uint64(v))
	}
	b = le.AppendUint32(b, uint32(len(s.machine)))
	return append(b, s.machine...)
}

// withHardState returns an encoded state with another term and vote. It changes
// nothing in b, which a checkpoint in the making may still hold.
func withHardState(b []byte, term, vote uint64) []byte {
	le := binary.LittleEndian
	if le.Uint64(b[1:]) == term && le.Uint64(b[9:]) == vote {
		return b
	}
	b = append([]byte(nil), b...)
	le.PutUint64(b[1:], term)
	le.PutUint64(b[9:], vote)
	return b
}

func decodeState(b []byte) (state, error) {
	var s state
	const fixed = 1 + 5*8 + 4
	switch {
	case len(b) < fixed:
		return s, fmt.Errorf("%w: group state of %d bytes", ErrDamaged, len(b))
	case b[0] != stateVersion:
		return s, fmt.Errorf("%w: group state of version %d, this broker reads %d", ErrDamaged, b[0], stateVersion)
	}
	le := binary.LittleEndian
	for i, p := range []*uint64{&s.term, &s.vote, &s.commit, &s.applied, &s.appliedTerm} {
		*p = le.Uint64(b[1+8*i:])
	}
	n := int64(le.Uint32(b[41:]))
	b = b[fixed:]
	if n*8+4 > int64(len(b)) {
		return s, fmt.Errorf("%w: %d voters in %d bytes", ErrDamaged, n, len(b))
	}
	for i := range n {
		s.voters = append(s.voters, ident.ReplicaID(le.Uint64(b[8*i:])))
	}
	b = b[8*n:]
	if int64(le.Uint32(b)) != int64(len(b)-4) {
		return s, fmt.Errorf("%w: machine state of %d bytes, %d follow", ErrDamaged, le.Uint32(b), len(b)-4)
	}
	if len(b) > 4 {
		s.machine = b[4:] // nil for a group that was never captured
	}
	return s, nil
}
