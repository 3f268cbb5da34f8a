package repair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
)

// errState: a group's part of a checkpoint that does not decode although its
// record's checksum holds.
var errState = errors.New("repair: state does not decode")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// raftState is a group's part of a checkpoint (docs/format/wal.md).
type raftState struct {
	term, vote, commit   uint64
	applied, appliedTerm uint64
	voters               []ident.ReplicaID
	machine              []byte
}

const raftStateFixed = 1 + 5*8 + 4

func decodeRaftState(b []byte) (raftState, error) {
	var s raftState
	if b == nil {
		return s, nil
	}
	if len(b) < raftStateFixed || b[0] != 1 {
		return s, fmt.Errorf("%w: %d bytes", errState, len(b))
	}
	le := binary.LittleEndian
	for i, p := range []*uint64{&s.term, &s.vote, &s.commit, &s.applied, &s.appliedTerm} {
		*p = le.Uint64(b[1+8*i:])
	}
	n := int64(le.Uint32(b[raftStateFixed-4:]))
	b = b[raftStateFixed:]
	if n*8+4 > int64(len(b)) {
		return s, fmt.Errorf("%w: %d voters", errState, n)
	}
	for i := range n {
		s.voters = append(s.voters, ident.ReplicaID(le.Uint64(b[8*i:])))
	}
	if b = b[8*n:]; int64(le.Uint32(b)) != int64(len(b)-4) {
		return s, fmt.Errorf("%w: a machine of %d bytes", errState, len(b)-4)
	}
	if len(b) > 4 {
		s.machine = b[4:]
	}
	return s, nil
}

func (s *raftState) encode() []byte {
	le := binary.LittleEndian
	b := []byte{1}
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

// appliedIn is the index up to which a group's state goes, 0 if it does not
// decode.
func appliedIn(state []byte) uint64 {
	s, err := decodeRaftState(state)
	if err != nil {
		return 0
	}
	return s.applied
}

// machineState is a partition's state machine (docs/format/entry.md): where its
// files end, and everything else, which only the highest generation is read of.
type machineState struct {
	incarnation uint64 // of the directory
	position    storage.Position
	generation  uint64
	rest        []byte // behind the generation
}

func decodeMachine(b []byte) (machineState, error) {
	var m machineState
	n := len(b) - 4
	if n < 1 || b[0] != 1 || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return m, fmt.Errorf("%w: a partition of %d bytes", errState, len(b))
	}
	incarnation, k := binary.Uvarint(b[1:n])
	if k <= 0 {
		return m, errState
	}
	position, rest, err := storage.DecodePosition(b[1+k : n])
	if err != nil {
		return m, err
	}
	if len(rest) < 8 {
		return m, errState
	}
	return machineState{incarnation: incarnation, position: position, generation: binary.LittleEndian.Uint64(rest), rest: rest[8:]}, nil
}

func (m *machineState) encode() []byte {
	b := m.position.Append(binary.AppendUvarint([]byte{1}, m.incarnation))
	b = binary.LittleEndian.AppendUint64(b, m.generation)
	b = append(b, m.rest...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// outboxBeyond is where the positions of an outbox go on that was lost: targets
// take no position that is not above the last one of its origin.
const outboxBeyond = 1 << 48

// freshRest is the rest of a partition of which nothing is left but its files:
// default settings, these epochs, no producers, an empty outbox, no origins,
// nothing in the cold tier.
func freshRest(epochs []epochStart) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, 0)
	b = le.AppendUint32(b, uint32(len(epochs)))
	for _, e := range epochs {
		b = le.AppendUint32(b, uint32(e.epoch))
		b = le.AppendUint64(b, uint64(e.start))
	}
	b = le.AppendUint32(b, 0) // producers
	b = le.AppendUint64(b, outboxBeyond)
	b = le.AppendUint32(b, 0) // emissions
	b = le.AppendUint32(b, 0) // origins
	b = le.AppendUint32(b, 0) // segments of the cold tier
	return le.AppendUint32(b, 0)
}

type epochStart struct {
	epoch ident.Epoch
	start ident.Offset
}
