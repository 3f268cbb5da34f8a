package replog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
)

// oracle knows what was promised to proposers, over all lives of the broker.
type oracle struct {
	share  bool // toys leave their syncs to the engine
	trace  hash.Hash64
	first  string
	groups map[string]*history
	next   uint64
	open   map[uint64]bool // accepted in this life, no outcome yet
	never  map[uint64]bool // dropped before it was written
	lost   bool            // the engine failed: outcomes may be missing
}

// history is what one group applied.
type history struct {
	entries [][]byte
	at      map[uint64]uint64 // proposal -> index
	term    uint64
	client  uint64 // newest client's proposal of this life that was applied
	system  uint64
	refused error // of the newest Dropped
	drops   int
	leads   int
}

type token struct {
	id     uint64
	system bool
}

func newOracle() *oracle {
	return &oracle{trace: fnv.New64a(), groups: map[string]*history{}, open: map[uint64]bool{}, never: map[uint64]bool{}}
}

func (o *oracle) bad(format string, args ...any) {
	if o.first == "" {
		o.first = fmt.Sprintf(format, args...)
	}
}

func (o *oracle) note(format string, args ...any) { fmt.Fprintf(o.trace, format, args...) }

func (o *oracle) group(name string) *history {
	h := o.groups[name]
	if h == nil {
		h = &history{at: map[uint64]uint64{}}
		o.groups[name] = h
	}
	return h
}

// restart forgets what only this life of the process knew.
func (o *oracle) restart() {
	clear(o.open)
	o.lost = false
	for _, h := range o.groups { // order: assignments only
		h.client, h.system = 0, 0
	}
}

// data makes a proposal of n bytes that tells its number.
func (o *oracle) data(n int, reset bool) (uint64, []byte) {
	o.next++
	b := []byte("entry")
	if reset {
		b = []byte("reset")
	}
	b = binary.LittleEndian.AppendUint64(b, o.next)
	for len(b) < n {
		b = append(b, byte(o.next)+byte(len(b)))
	}
	return o.next, b
}

func proposalOf(data []byte) uint64 {
	if len(data) < 13 {
		return 0
	}
	return binary.LittleEndian.Uint64(data[5:])
}

func (o *oracle) applied(m *toy, e Entry) {
	o.note("apply %s %d %d %x %v;", m.name, e.Index, e.Term, chainOf(0, e.Data), e.Token != nil)
	h := o.group(m.name)
	switch n := uint64(len(h.entries)); {
	case e.Index <= n:
		if !bytes.Equal(h.entries[e.Index-1], e.Data) {
			o.bad("%s: entry %d is another one than in an earlier life", m.name, e.Index)
		}
	case e.Index == n+1:
		h.entries = append(h.entries, e.Data)
	default:
		o.bad("%s: entry %d applied, %d known", m.name, e.Index, n)
	}
	id := proposalOf(e.Data)
	if id == 0 {
		return
	}
	if at, ok := h.at[id]; ok && at != e.Index {
		o.bad("%s: proposal %d applied at %d and at %d", m.name, id, at, e.Index)
	}
	h.at[id] = e.Index
	if o.never[id] {
		o.bad("%s: proposal %d applied, but it was refused", m.name, id)
	}
	t, ok := e.Token.(token)
	if !ok {
		if e.Token != nil {
			o.bad("%s: token %v", m.name, e.Token)
		}
		return
	}
	if t.id != id {
		o.bad("%s: entry %d holds proposal %d, its token says %d", m.name, e.Index, id, t.id)
	}
	o.outcome(t.id)
	newest := &h.client
	if t.system {
		newest = &h.system
	}
	if id <= *newest {
		o.bad("%s: proposal %d applied after %d", m.name, id, *newest)
	}
	*newest = id
}

func (o *oracle) outcome(id uint64) {
	if !o.open[id] {
		o.bad("proposal %d has two outcomes, or one that nobody asked for", id)
	}
	delete(o.open, id)
}

func (o *oracle) dropped(m *toy, tok any, err error) {
	t := tok.(token)
	h := o.group(m.name)
	h.refused = err
	h.drops++
	o.note("drop %s %d %v;", m.name, t.id, err)
	o.outcome(t.id)
	if errors.Is(err, ErrNoSpace) || errors.Is(err, ErrBusy) {
		o.never[t.id] = true
		if _, ok := h.at[t.id]; ok {
			o.bad("%s: proposal %d refused after it was applied", m.name, t.id)
		}
	}
}

func (o *oracle) lead(m *toy, term uint64) {
	h := o.group(m.name)
	o.note("lead %s %d;", m.name, term)
	h.leads++
	if term <= h.term {
		o.bad("%s: leads in term %d after %d", m.name, term, h.term)
	}
	h.term = term
	if m.index < uint64(len(h.entries)) {
		o.bad("%s: leads with %d entries applied, earlier lives had %d", m.name, m.index, len(h.entries))
	}
}

// checkFile compares a machine's file with the entries that were applied.
func (o *oracle) checkFile(name string, b []byte) error {
	h := o.group(name)
	for len(b) > 0 {
		if len(b) < 12 {
			return fmt.Errorf("toy: %s: rest of %d bytes", name, len(b))
		}
		index, n := binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint32(b[8:]))
		if index == 0 || index > uint64(len(h.entries)) || len(b) < 12+n || !bytes.Equal(b[12:12+n], h.entries[index-1]) {
			return fmt.Errorf("toy: %s: the file that a checkpoint claims is not what was applied at %d", name, index)
		}
		b = b[12+n:]
	}
	return nil
}

// waitingFor lists proposals without an outcome.
func (o *oracle) waitingFor() []uint64 {
	var ids []uint64
	for id := range o.open { // order: sorted below
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
