package replog

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/varvelog/varve/internal/ident"
)

// Message is what one replica of a group tells another. The zero value is not
// valid.
type Message struct {
	Group ident.GroupID
	raft  raftpb.Message
	short bool // the sender's disk has no room for clients
}

// From returns the replica that sent it.
func (m Message) From() ident.ReplicaID { return ident.ReplicaID(m.raft.From) }

// To returns the replica that it is for.
func (m Message) To() ident.ReplicaID { return ident.ReplicaID(m.raft.To) }

// Append adds the encoded message to dst: the group's id, a byte that is 1 if the
// sender's disk has no room for clients, else 0, and Raft's own encoding. Nothing
// in it aliases the message.
func (m Message) Append(dst []byte) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Group))
	dst = append(dst, 0)
	if m.short {
		dst[len(dst)-1] = 1
	}
	b, err := m.raft.Marshal()
	if err != nil {
		return dst, fmt.Errorf("encode a message of group %d: %w", m.Group, err)
	}
	return append(dst, b...), nil
}

// ParseMessage reads what Append wrote. It copies. A message that no replica
// sends to another is refused with ErrDamaged.
func ParseMessage(b []byte) (Message, error) {
	var m Message
	if len(b) < 9 || b[8] > 1 {
		return m, fmt.Errorf("%w: message of %d bytes", ErrDamaged, len(b))
	}
	m.Group, m.short = ident.GroupID(binary.LittleEndian.Uint64(b)), b[8] == 1
	if err := m.raft.Unmarshal(b[9:]); err != nil {
		return Message{}, fmt.Errorf("%w: message of group %d: %w", ErrDamaged, m.Group, err)
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// check refuses what Raft says to itself, and what would make it panic.
func (m *Message) check() error {
	r := &m.raft
	switch r.Type {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
		raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgSnap, raftpb.MsgTimeoutNow:
	default:
		return fmt.Errorf("%w: message of type %v between replicas", ErrDamaged, r.Type)
	}
	if r.From == 0 || r.To == 0 || r.From == r.To || len(r.Responses) > 0 {
		return fmt.Errorf("%w: %v from replica %d to %d", ErrDamaged, r.Type, r.From, r.To)
	}
	if (r.Snapshot != nil) != (r.Type == raftpb.MsgSnap) || len(r.Entries) > 0 && r.Type != raftpb.MsgApp {
		return fmt.Errorf("%w: %v with what it does not carry", ErrDamaged, r.Type)
	}
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Index != r.Index+1+uint64(i) || e.Term == 0 || e.Type != raftpb.EntryNormal {
			return fmt.Errorf("%w: entry %d of a message behind %d", ErrDamaged, e.Index, r.Index)
		}
	}
	return nil
}
