package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// TestModel runs random sequences of everything the log can do, ends each run
// of the log by a crash or a kill at any operation, recovery included, and
// compares what is recovered with a model: the log is the list of records that
// were enqueued, cut somewhere behind the last one that was released.
func TestModel(t *testing.T) {
	again := 0
	for seed := range uint64(200) {
		m := newModel(seed)
		if seed%2 == 0 {
			m.disk = agedDisk(t)
			m.ops = []modelOp{{rec: checkpointOf(1), released: true}}
			m.checkpoint, m.released, m.written = 1, 1, 1
		}
		if err := m.run(40 + m.rng.IntN(300)); err != nil {
			t.Fatalf("seed %d, life %d: %v", seed, m.lives, err)
		}
		again += m.again
	}
	if again < 70 {
		t.Errorf("only %d files were used again", again)
	}
}

// modelOp is one record that was enqueued.
type modelOp struct {
	rec      Record
	released bool
}

// modelGroup is what the writer of a group remembers.
type modelGroup struct {
	replica ident.ReplicaID
	term    uint64
	applied uint64
	entries []modelEntry // all that exist, index 1 first
}

type modelEntry struct {
	Entry
	position int64 // of its write; -1 until it is written
	op       int   // that brought it
}

type model struct {
	seed  uint64
	rng   *rand.Rand
	s     Settings
	disk  *vfs.Mem
	power *power
	log   *Log
	lives int
	again int // files made of spare ones

	ops      []modelOp
	released int // ops[:released] were released
	written  int // ops[:written] are in a write that was built
	groups   map[ident.GroupID]*modelGroup
	replicas map[ident.GroupID]ident.ReplicaID // highest ever used
	inflight *Write

	checkpoint uint64 // highest id used
	pieces     []Piece
	low        int64
	proofAt    int // op of the proof that lets low advance; -1 if none waits
	garbage    []Garbage
}

func newModel(seed uint64) *model {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{
		seed: seed, rng: rng, s: smallSettings(seed), disk: vfs.NewMem(vfs.MemOptions{DirectAlignment: Block}),
		groups: map[ident.GroupID]*modelGroup{}, replicas: map[ident.GroupID]ident.ReplicaID{}, proofAt: -1,
	}
	return m
}

// run makes steps, with a new life whenever the power fails.
func (m *model) run(steps int) error {
	if err := m.open(); err != nil {
		return err
	}
	for range steps {
		if err := m.step(); err != nil {
			return err
		}
		if m.power.off || m.rng.IntN(60) == 0 {
			if err := m.open(); err != nil {
				return err
			}
		}
	}
	// However it went, the disk must be good in the end.
	m.power.off = true
	return m.open()
}

// open crashes or kills what runs, and recovers until that succeeds.
func (m *model) open() error {
	for {
		m.lives++
		if m.lives > 1 {
			m.die()
		}
		m.power = &power{rng: m.rng, left: m.rng.IntN(250)}
		if m.rng.IntN(3) == 0 {
			m.power.left = m.rng.IntN(30)
		}
		m.power.full = m.rng.IntN(10) == 0
		l, rec, err := Open(vfs.NewFaulty(m.disk, m.power.inject), m.s)
		if m.power.off {
			continue
		}
		if errors.Is(err, vfs.ErrNoSpace) && m.power.full {
			continue
		}
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		m.log, m.garbage = l, rec.Garbage
		return m.compare(rec)
	}
}

func (m *model) die() {
	m.log, m.inflight, m.pieces, m.garbage, m.proofAt = nil, nil, nil, nil, -1
	switch m.rng.IntN(6) {
	case 0, 1:
		m.disk = m.disk.Kill()
	case 2:
		m.disk = m.disk.Crash(m.rng, vfs.CrashOptions{})
	case 3:
		m.disk = m.disk.Crash(m.rng, vfs.CrashOptions{Keep: 1})
	default:
		m.disk = m.disk.Crash(m.rng, vfs.CrashOptions{
			Keep: m.rng.Float64(), Tear: m.rng.IntN(2) == 0, Reorder: m.rng.IntN(2) == 0})
	}
}

func (m *model) step() error {
	switch n := m.rng.IntN(100); {
	case n < 45:
		return m.append()
	case n < 47:
		return m.destroy()
	case n < 55:
		return m.checkpointPiece()
	case n < 62:
		m.removeGarbage()
	case n < 70:
		return m.prepare()
	case n < 72:
		m.power.full = !m.power.full
	default:
		return m.write()
	}
	return nil
}

func (m *model) enqueue(r Record, client bool) (bool, error) {
	cost := align(writeHeader + r.size())
	if !m.log.Reserve(cost, !client) {
		return false, nil
	}
	if err := m.log.Enqueue(r, len(m.ops), cost); err != nil {
		return false, fmt.Errorf("enqueue: %w", err)
	}
	m.ops = append(m.ops, modelOp{rec: r})
	return true, nil
}

func (m *model) append() error {
	id := ident.GroupID(m.rng.IntN(5))
	g := m.groups[id]
	if g == nil {
		g = &modelGroup{replica: m.replicas[id] + 1, term: 1}
	}
	next := *g
	first := uint64(len(g.entries)) + 1
	if m.rng.IntN(6) == 0 { // an election, and perhaps another leader's entries
		next.term++
		first -= uint64(m.rng.IntN(int(first - g.applied)))
	}
	n := m.rng.IntN(4)
	if n == 0 {
		first = uint64(len(g.entries)) + 1
	}
	a := Append{Term: next.term, Vote: uint64(m.rng.IntN(3)), Commit: g.applied}
	for i := range n {
		data := make([]byte, m.rng.IntN(3000))
		for k := range data {
			data[k] = byte(m.rng.Uint32())
		}
		a.Entries = append(a.Entries, Entry{Index: first + uint64(i), Term: next.term, Type: uint8(m.rng.IntN(3)), Data: data})
	}
	ok, err := m.enqueue(Record{Group: id, Replica: g.replica, Kind: KindAppend, Append: a}, true)
	if !ok || err != nil {
		return err
	}
	next.entries = append([]modelEntry(nil), g.entries[:first-1]...)
	if n == 0 {
		next.entries = g.entries
	}
	for _, e := range a.Entries {
		next.entries = append(next.entries, modelEntry{Entry: e, position: -1, op: len(m.ops) - 1})
	}
	m.groups[id], m.replicas[id] = &next, g.replica
	return nil
}

func (m *model) destroy() error {
	id := ident.GroupID(m.rng.IntN(5))
	g := m.groups[id]
	if g == nil {
		return nil
	}
	ok, err := m.enqueue(Record{Group: id, Replica: g.replica, Kind: KindGone}, false)
	if ok {
		delete(m.groups, id)
	}
	return err
}

// checkpointPiece begins a checkpoint, or goes on with one.
func (m *model) checkpointPiece() error {
	if m.proofAt != -1 || len(m.garbage) > 0 {
		return nil
	}
	if m.pieces == nil {
		m.beginCheckpoint()
	}
	p := m.pieces[0]
	kept := p.Groups[:0:0]
	for _, s := range p.Groups { // a replica that went meanwhile is left out
		if g := m.groups[s.Group]; g != nil && g.replica == s.Replica {
			kept = append(kept, s)
		}
	}
	p.Groups = kept
	ok, err := m.enqueue(Record{Kind: KindCheckpoint, Piece: p}, false)
	if !ok || err != nil {
		if p.Number == 0 { // it must list the groups that there are when it begins
			m.pieces = nil
		}
		return err
	}
	m.pieces = m.pieces[1:]
	if len(m.pieces) > 0 {
		return nil
	}
	m.pieces = nil
	m.proofAt = -2 - len(m.ops) // a proof is due when this many are released
	return nil
}

func (m *model) beginCheckpoint() {
	m.checkpoint++
	n := 1 + m.rng.IntN(3)
	m.pieces = make([]Piece, n)
	for i := range m.pieces {
		m.pieces[i] = Piece{ID: m.checkpoint, Number: uint32(i), Last: i == n-1}
	}
	m.low = m.log.Tail()
	for id := range ident.GroupID(5) {
		g := m.groups[id]
		if g == nil {
			continue
		}
		for int(g.applied) < len(g.entries) && g.entries[g.applied].op < m.released && m.rng.IntN(8) > 0 {
			g.applied++
		}
		low := m.log.Tail()
		for _, e := range g.entries[g.applied:] {
			if e.position >= 0 {
				low = min(low, e.position)
			}
		}
		m.low = min(m.low, low)
		state := binary.LittleEndian.AppendUint64(nil, g.applied)
		state = append(state, make([]byte, m.rng.IntN(500))...)
		i := m.rng.IntN(n)
		m.pieces[i].Groups = append(m.pieces[i].Groups, GroupState{Group: id, Replica: g.replica, Low: low, State: state})
	}
}

func (m *model) removeGarbage() {
	if len(m.garbage) == 0 {
		return
	}
	g := m.garbage[0]
	if g.Remove() == nil {
		m.log.Removed(g)
		m.garbage = m.garbage[1:]
	}
}

func (m *model) prepare() error {
	p := m.log.Prepare()
	if p == nil {
		return nil
	}
	err := p.Do()
	m.log.PrepareDone(p, err)
	if p.spare != "" && err == nil {
		m.again++
	}
	if err != nil && !m.power.off && !errors.Is(err, vfs.ErrNoSpace) {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

func (m *model) write() error {
	if m.inflight == nil {
		w := m.log.Next()
		if w == nil {
			return m.prepare()
		}
		m.inflight = w
		m.placed(w)
		return nil
	}
	w := m.inflight
	m.inflight = nil
	var tokens []any
	err := m.log.Done(w, w.Do(), func(token any) { tokens = append(tokens, token) })
	if err != nil {
		if m.power.off && len(tokens) == 0 {
			return nil
		}
		return fmt.Errorf("write: %w", err)
	}
	for _, token := range tokens {
		if token != m.released {
			return fmt.Errorf("released record %v, want %d", token, m.released)
		}
		m.ops[m.released].released = true
		m.released++
	}
	return m.afterRelease()
}

// placed notes where the entries of a write lie.
func (m *model) placed(w *Write) {
	end := m.written + w.Records()
	for _, g := range m.groups {
		for i := range g.entries {
			if e := &g.entries[i]; e.op >= m.written && e.op < end {
				e.position = w.head.position
			}
		}
	}
	m.written = end
}

// afterRelease enqueues the proof behind a durable checkpoint, and advances
// behind a durable proof.
func (m *model) afterRelease() error {
	if m.proofAt < -1 && m.released >= -2-m.proofAt {
		ok, err := m.enqueue(Record{Kind: KindProof}, false)
		if ok {
			m.proofAt = len(m.ops) - 1
		}
		return err
	}
	if m.proofAt >= 0 && m.released > m.proofAt {
		m.garbage = append(m.garbage, m.log.Advance(m.low)...)
		m.proofAt = -1
	}
	return nil
}

// compare finds how much of the log was recovered, and goes on from there.
func (m *model) compare(rec *Recovered) error {
	var last error
	for n := len(m.ops); n >= m.released; n-- {
		want := replay(m.ops[:n])
		if last = want.equal(rec); last == nil {
			m.adopt(n, want, rec)
			return nil
		}
	}
	return fmt.Errorf("released %d, enqueued %d, no prefix matches; the last tried: %w", m.released, len(m.ops), last)
}

// adopt makes the recovered log the model's.
func (m *model) adopt(n int, want *replayed, rec *Recovered) {
	m.ops, m.released, m.written = m.ops[:n], n, n
	for i := range m.ops {
		m.ops[i].released = true
	}
	m.groups = map[ident.GroupID]*modelGroup{}
	for _, g := range rec.Groups {
		w := want.groups[g.ID]
		mg := &modelGroup{replica: g.Replica, term: max(w.term, 1), applied: w.applied}
		mg.entries = append(mg.entries, w.entries...)
		for i := range mg.entries {
			mg.entries[i].position, mg.entries[i].op = 0, 0
		}
		for i, e := range g.Entries {
			mg.entries[e.Index-1].position = g.Positions[i]
		}
		m.groups[g.ID] = mg
	}
}

// replayed is what the documentation says a list of records means.
type replayed struct {
	groups     map[ident.GroupID]*replayedGroup
	checkpoint uint64
}

type replayedGroup struct {
	replica ident.ReplicaID
	state   []byte
	low     int64
	applied uint64
	term    uint64
	hard    Append // of the newest append
	hardAt  int
	entries []modelEntry
	from    int // first piece of the checkpoint that lists it
}

func replay(ops []modelOp) *replayed {
	out := &replayed{groups: map[ident.GroupID]*replayedGroup{}}
	begun, pieces := 0, []Piece(nil)
	for i := range ops {
		rec := &ops[i].rec
		switch rec.Kind {
		case KindAppend:
			g := out.groups[rec.Group]
			if g == nil || g.replica < rec.Replica {
				g = &replayedGroup{replica: rec.Replica}
				out.groups[rec.Group] = g
			}
			g.hard, g.hardAt, g.term = rec.Append, i, rec.Append.Term
			if a := rec.Append.Entries; len(a) > 0 {
				g.entries = append([]modelEntry(nil), g.entries[:a[0].Index-1]...)
				for _, e := range a {
					g.entries = append(g.entries, modelEntry{Entry: e})
				}
			}
		case KindGone:
			delete(out.groups, rec.Group)
		case KindCheckpoint:
			out.checkpoint = max(out.checkpoint, rec.Piece.ID)
			if rec.Piece.Number == 0 {
				begun, pieces = i, nil
			}
			if pieces = append(pieces, rec.Piece); rec.Piece.Last {
				out.apply(pieces, begun)
			}
		}
	}
	return out
}

func (r *replayed) apply(pieces []Piece, begun int) {
	for _, p := range pieces {
		for _, s := range p.Groups {
			if g := r.groups[s.Group]; g != nil && g.replica == s.Replica {
				g.state, g.low, g.from = s.State, s.Low, begun
				g.applied = binary.LittleEndian.Uint64(s.State)
			}
		}
	}
}

func (r *replayed) equal(rec *Recovered) error {
	if rec.Checkpoint != r.checkpoint {
		return fmt.Errorf("checkpoint %d, want %d", rec.Checkpoint, r.checkpoint)
	}
	if len(rec.Groups) != len(r.groups) {
		return fmt.Errorf("%d groups, want %d", len(rec.Groups), len(r.groups))
	}
	for _, g := range rec.Groups {
		want := r.groups[g.ID]
		if want == nil {
			return fmt.Errorf("group %d appeared", g.ID)
		}
		if err := want.equal(g); err != nil {
			return fmt.Errorf("group %d: %w", g.ID, err)
		}
	}
	return nil
}

func (r *replayedGroup) equal(g *Group) error {
	if g.Replica != r.replica || !bytes.Equal(g.State, r.state) || g.Low != r.low {
		return fmt.Errorf("replica %d low %d state of %d bytes, want %d, %d, %d", g.Replica, g.Low, len(g.State), r.replica, r.low, len(r.state))
	}
	h := r.hard
	if g.Term != h.Term || g.Vote != h.Vote || g.Commit != h.Commit {
		// An append before the checkpoint need not have been read.
		if g.Term != 0 || g.Vote != 0 || g.Commit != 0 || r.state == nil || r.hardAt > r.from {
			return fmt.Errorf("hard state %d/%d/%d, want %d/%d/%d", g.Term, g.Vote, g.Commit, h.Term, h.Vote, h.Commit)
		}
	}
	if len(g.Positions) != len(g.Entries) {
		return fmt.Errorf("%d positions of %d entries", len(g.Positions), len(g.Entries))
	}
	next := r.applied + 1
	for i, e := range g.Entries {
		if i > 0 && e.Index != g.Entries[i-1].Index+1 {
			return fmt.Errorf("entry %d follows %d", e.Index, g.Entries[i-1].Index)
		}
		if e.Index == 0 || e.Index > uint64(len(r.entries)) {
			return fmt.Errorf("entry %d appeared; the last is %d", e.Index, len(r.entries))
		}
		want := r.entries[e.Index-1]
		if e.Term != want.Term || e.Type != want.Type || !bytes.Equal(e.Data, want.Data) {
			return fmt.Errorf("entry %d differs", e.Index)
		}
		if e.Index == next {
			next++
		}
	}
	if next != uint64(len(r.entries))+1 {
		return fmt.Errorf("entries go to %d, want %d (applied %d)", next-1, len(r.entries), r.applied)
	}
	return nil
}
