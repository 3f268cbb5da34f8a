package replog

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// store is what Raft reads of a group's durable log: the entries that are
// synced and not yet dropped. Entries below were applied; for a group with one
// voter nobody will ask for them again, and another replica that does gets a
// snapshot.
type store struct {
	hard raftpb.HardState
	conf raftpb.ConfState
	take func() (raftpb.Snapshot, error)

	dropped     uint64 // index of the last dropped entry
	droppedTerm uint64
	ents        []raftpb.Entry
	bytes       int64 // of their data
}

var _ raft.Storage = (*store)(nil)

func (s *store) InitialState() (raftpb.HardState, raftpb.ConfState, error) {
	return s.hard, s.conf, nil
}

func (s *store) FirstIndex() (uint64, error) { return s.dropped + 1, nil }
func (s *store) LastIndex() (uint64, error)  { return s.dropped + uint64(len(s.ents)), nil }

func (s *store) Term(i uint64) (uint64, error) {
	switch {
	case i == s.dropped:
		return s.droppedTerm, nil
	case i < s.dropped:
		return 0, raft.ErrCompacted
	case i > s.dropped+uint64(len(s.ents)):
		return 0, raft.ErrUnavailable
	}
	return s.ents[i-s.dropped-1].Term, nil
}

func (s *store) Entries(lo, hi, maxSize uint64) ([]raftpb.Entry, error) {
	if lo <= s.dropped {
		return nil, raft.ErrCompacted
	}
	if hi > s.dropped+uint64(len(s.ents))+1 {
		return nil, raft.ErrUnavailable
	}
	out := s.ents[lo-s.dropped-1 : hi-s.dropped-1]
	var size uint64
	for i := range out {
		size += uint64(len(out[i].Data)) + 32
		if i > 0 && size > maxSize {
			out = out[:i]
			break
		}
	}
	return out[:len(out):len(out)], nil
}

// Snapshot is asked for only when another replica lags behind what is kept.
func (s *store) Snapshot() (raftpb.Snapshot, error) { return s.take() }

// append takes entries that are durable now. They may overlap what is there.
func (s *store) append(ents []raftpb.Entry) {
	for len(ents) > 0 && ents[0].Index <= s.dropped {
		ents = ents[1:]
	}
	if len(ents) == 0 {
		return
	}
	keep := ents[0].Index - s.dropped - 1
	s.bytes += dataBytes(ents) - dataBytes(s.ents[keep:])
	if keep == 0 {
		s.ents = ents[:len(ents):len(ents)]
		return
	}
	if int(keep) == len(s.ents) {
		s.ents = append(s.ents, ents...)
		return
	}
	// Entries() handed out slices of the old array: never write into it.
	s.ents = append(s.ents[:keep:keep], ents...)
}

// drop forgets entries up to and including index.
func (s *store) drop(index uint64) {
	if index <= s.dropped {
		return
	}
	n := index - s.dropped
	s.droppedTerm = s.ents[n-1].Term
	s.dropped = index
	s.bytes -= dataBytes(s.ents[:n])
	if int(n) == len(s.ents) {
		s.ents = nil
		return
	}
	s.ents = append([]raftpb.Entry(nil), s.ents[n:]...)
}

// shrink forgets entries up to index, the oldest first, until what is left has
// at most so many bytes of data.
func (s *store) shrink(index uint64, bytes int64) {
	to, left := s.dropped, s.bytes
	for i := range s.ents {
		if left <= bytes || s.ents[i].Index > index {
			break
		}
		to, left = s.ents[i].Index, left-int64(len(s.ents[i].Data))
	}
	s.drop(to)
}

// reset forgets everything and goes on behind an entry.
func (s *store) reset(index, term uint64) {
	s.dropped, s.droppedTerm, s.ents, s.bytes = index, term, nil, 0
}

func dataBytes(ents []raftpb.Entry) int64 {
	n := int64(0)
	for i := range ents {
		n += int64(len(ents[i].Data))
	}
	return n
}
