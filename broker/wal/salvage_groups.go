package wal

import (
	"sort"

	"github.com/varvelog/varve/internal/ident"
)

// deliver takes records that were read, in the order of the log.
func (s *salvage) deliver(position int64, records []Record) {
	for i := range records {
		rec := &records[i]
		s.records++
		switch rec.Kind {
		case KindAppend:
			s.known[Replica{rec.Group, rec.Replica}] = true
			if g := s.group(rec.Group, rec.Replica); g != nil {
				g.take(&rec.Append, s.records)
				s.out.termMax = max(s.out.termMax, g.Term)
			}
		case KindCheckpoint:
			s.piece(rec.Piece, position)
		case KindGone:
			s.known[Replica{rec.Group, rec.Replica}] = true
			s.gone[Replica{rec.Group, rec.Replica}] = true
			if g := s.groups[rec.Group]; g != nil && g.Replica == rec.Replica {
				delete(s.groups, rec.Group)
			}
		}
	}
}

// group finds or makes the group of a record, nil for an older replica.
func (s *salvage) group(id ident.GroupID, rep ident.ReplicaID) *SalvagedGroup {
	g := s.groups[id]
	if g == nil || g.Replica < rep {
		g = &SalvagedGroup{ID: id, Replica: rep, entries: map[uint64]Entry{}}
		s.groups[id] = g
	}
	if g.Replica > rep {
		return nil
	}
	return g
}

// take puts an append on top of what is known. Entries that are there already,
// by index and term, were copied forward.
func (g *SalvagedGroup) take(a *Append, number int) {
	g.Term, g.Vote, g.Commit = a.Term, a.Vote, a.Commit
	g.seen = number
	for _, e := range a.Entries {
		if have, ok := g.entries[e.Index]; ok && have.Term != e.Term {
			for i := e.Index; i <= g.last; i++ {
				delete(g.entries, i)
			}
			g.last = e.Index - 1
		}
		g.entries[e.Index] = e
		if e.Index > g.last {
			g.last, g.extended = e.Index, number
		}
	}
}

// piece collects a checkpoint as recovery does.
func (s *salvage) piece(p Piece, position int64) {
	if p.ID > s.out.checkpoint {
		s.out.checkpoint, s.loose = p.ID, nil
	}
	s.loose = append(s.loose, p)
	for _, st := range p.Groups {
		s.known[Replica{st.Group, st.Replica}] = true
	}
	if p.Number == 0 {
		s.pieces, s.from, s.fromAt = nil, s.records, position
		clear(s.gone)
	}
	if int(p.Number) != len(s.pieces) || p.Number > 0 && s.pieces[0].ID != p.ID {
		s.pieces = nil
		return
	}
	if s.pieces = append(s.pieces, p); p.Last {
		s.whole()
	}
}

// whole takes a checkpoint whose last piece was read.
func (s *salvage) whole() {
	listed := map[ident.GroupID]bool{}
	s.low = s.fromAt
	for _, p := range s.pieces {
		for _, st := range p.Groups {
			listed[st.Group] = true
			s.low = min(s.low, st.Low)
			if s.gone[Replica{st.Group, st.Replica}] {
				continue
			}
			if g := s.group(st.Group, st.Replica); g != nil {
				g.State, g.Low = st.State, st.Low
				g.last = max(g.last, s.applied(st.State))
				g.seen = max(g.seen, s.from)
			}
		}
	}
	for id, g := range s.groups { // order: deletions only
		if !listed[id] && g.seen < s.from {
			delete(s.groups, id)
		}
	}
	s.pieces, s.loose, s.out.checkpointAt = nil, nil, s.fromAt
}

// looseStates takes what is left of the newest checkpoint if a piece of it is
// damaged: each state holds by itself, and what it says of files was durable when
// it was written. Groups of the damaged piece have what an older checkpoint said.
func (s *salvage) looseStates() {
	for _, p := range s.loose {
		for _, st := range p.Groups {
			g := s.group(st.Group, st.Replica)
			if g == nil || s.gone[Replica{st.Group, st.Replica}] || g.State != nil && s.applied(g.State) >= s.applied(st.State) {
				continue
			}
			g.State, g.Low = st.State, st.Low
			g.last = max(g.last, s.applied(st.State))
		}
	}
}

// result sorts what was read.
func (s *salvage) result() {
	for _, g := range s.groups { // order: sorted below
		for _, e := range g.entries { // order: sorted below
			g.Entries = append(g.Entries, e)
		}
		sort.Slice(g.Entries, func(i, j int) bool { return g.Entries[i].Index < g.Entries[j].Index })
		s.out.Groups = append(s.out.Groups, g)
	}
	sort.Slice(s.out.Groups, func(i, j int) bool { return s.out.Groups[i].ID < s.out.Groups[j].ID })
}
