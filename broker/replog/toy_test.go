package replog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

// toy is a machine whose state is an append-only file of all applied entries,
// one segment after another. A reset entry begins the next segment; the ones
// before it go when a checkpoint no longer names them.
type toy struct {
	o    *oracle
	fs   vfs.FS
	name string // prefix of the segments' names

	index   uint64
	chain   uint64 // hash over all applied entries
	segs    []*toySegment
	claim   *toyState // of the last Snapshot
	doomed  []string  // names to unlink
	failed  bool
	leads   bool
	parked  error
	closed  bool
	poison  []byte // an entry with this prefix fails Apply
	panics  bool
	syncing bool // a task is in flight
}

// toySegment is one file. tail holds its bytes from synced on.
type toySegment struct {
	name            string
	generation      uint32
	tail            []byte
	synced, written int64
	file            vfs.File
}

func (s *toySegment) length() int64 { return s.synced + int64(len(s.tail)) }

type toyState struct {
	index, chain uint64
	generation   uint32
	length       int64
}

func (s *toyState) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, s.index)
	b = binary.LittleEndian.AppendUint64(b, s.chain)
	b = binary.LittleEndian.AppendUint32(b, s.generation)
	return binary.LittleEndian.AppendUint64(b, uint64(s.length))
}

const toyRunBytes = 8 << 10

var errToyPoison = errors.New("toy: poison")

func segmentName(prefix string, generation uint32) string {
	return fmt.Sprintf("%s-%08d", prefix, generation)
}

// openToy restores a machine and cuts its file back to what the state claims.
func openToy(o *oracle, fs vfs.FS, prefix string, state []byte) (*toy, error) {
	m := &toy{o: o, fs: fs, name: prefix}
	st := toyState{}
	if state != nil {
		if len(state) != 28 {
			return nil, fmt.Errorf("toy: state of %d bytes", len(state))
		}
		le := binary.LittleEndian
		st = toyState{le.Uint64(state), le.Uint64(state[8:]), le.Uint32(state[16:]), int64(le.Uint64(state[20:]))}
	}
	m.index, m.chain = st.index, st.chain
	seg := &toySegment{name: segmentName(prefix, st.generation), generation: st.generation}
	m.segs = []*toySegment{seg}
	f, err := fs.Open(seg.name)
	switch {
	case errors.Is(err, vfs.ErrNotExist) && st.length == 0:
		return m, m.removeOthers(st.generation)
	case err != nil:
		return nil, fmt.Errorf("toy: a checkpoint names %s with %d bytes: %w", seg.name, st.length, err)
	}
	size, err := f.Size()
	if err != nil || size < st.length {
		f.Close()
		return nil, fmt.Errorf("toy: a checkpoint claims %d bytes of %s, there are %d: %v", st.length, seg.name, size, err)
	}
	b := make([]byte, st.length)
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		f.Close()
		return nil, err
	}
	if err := o.checkFile(prefix, b); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(st.length); err != nil {
		f.Close()
		return nil, err
	}
	seg.file, seg.synced, seg.written = f, st.length, st.length
	return m, m.removeOthers(st.generation)
}

// removeOthers unlinks segments that the state does not name.
func (m *toy) removeOthers(generation uint32) error {
	list, err := m.fs.List("toy")
	if err != nil {
		return err
	}
	for _, e := range list {
		name := "toy/" + e.Name
		if strings.HasPrefix(name, m.name+"-") && name != segmentName(m.name, generation) {
			if err := m.fs.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func frame(index uint64, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, index)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func chainOf(before uint64, framed []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, before))
	h.Write(framed)
	return h.Sum64()
}

var resetPrefix = []byte("reset")

func (m *toy) Apply(e Entry) error {
	if m.poison != nil && bytes.HasPrefix(e.Data, m.poison) {
		if m.panics {
			panic(errToyPoison)
		}
		return errToyPoison
	}
	if e.Index != m.index+1 {
		m.o.bad("%s: entry %d applied after %d", m.name, e.Index, m.index)
	}
	f := frame(e.Index, e.Data)
	m.index, m.chain = e.Index, chainOf(m.chain, f)
	if bytes.HasPrefix(e.Data, resetPrefix) {
		g := m.segs[len(m.segs)-1].generation + 1
		m.segs = append(m.segs, &toySegment{name: segmentName(m.name, g), generation: g})
	}
	s := m.segs[len(m.segs)-1]
	s.tail = append(s.tail, f...)
	m.o.applied(m, e)
	return nil
}

func (m *toy) Dropped(token any, err error) { m.o.dropped(m, token, err) }
func (m *toy) Lead(term uint64)             { m.leads = true; m.o.lead(m, term) }
func (m *toy) Unlead()                      { m.leads = false }
func (m *toy) Parked(err error)             { m.leads, m.parked = false, err }

func (m *toy) Capture() {
	s := m.segs[len(m.segs)-1]
	m.claim = &toyState{m.index, m.chain, s.generation, s.length()}
}

func (m *toy) State() []byte {
	if done, _ := m.Flushed(); !done {
		m.o.bad("%s: the state is asked for before it is durable", m.name)
	}
	return m.claim.encode()
}

func (m *toy) Unwritten() int64 {
	var n int64
	for _, s := range m.segs {
		n += s.length() - s.written
	}
	return n
}

// claimed returns the segment that the last snapshot names.
func (m *toy) claimed() *toySegment {
	for _, s := range m.segs {
		if m.claim != nil && s.generation == m.claim.generation {
			return s
		}
	}
	return nil
}

// Flushed gives a segment up that a reset entry has left behind.
func (m *toy) Flushed() (done, stale bool) {
	s := m.claimed()
	return s.synced >= m.claim.length, s != m.segs[len(m.segs)-1]
}

func (m *toy) Durable() {
	for len(m.segs) > 1 && m.segs[0].generation < m.claim.generation {
		if m.segs[0].file != nil {
			m.segs[0].file.Close()
			m.doomed = append(m.doomed, m.segs[0].name)
		}
		m.segs = m.segs[1:]
	}
}

func (m *toy) Retry() { m.failed = false }

func (m *toy) Close() {
	m.closed = true
	for _, s := range m.segs {
		if s.file != nil {
			s.file.Close()
		}
	}
}

// toyTask writes a run, or syncs, or unlinks.
type toyTask struct {
	m      *toy
	seg    *toySegment
	file   vfs.File
	run    []byte
	off    int64
	unlink string
	shared bool
}

// Share and Flush implement SharedSync.
func (t *toyTask) Share() bool {
	t.shared = t.m.o.share && t.run == nil && t.unlink == ""
	return t.shared
}

func (t *toyTask) Flush() error {
	if err := t.file.Sync(); err != nil {
		return err
	}
	return t.m.fs.SyncDir("toy")
}

func (t *toyTask) Class() Class {
	if t.run != nil {
		return ClassSegment
	}
	return ClassSync
}

func (t *toyTask) Do() error {
	switch {
	case t.unlink != "":
		if err := t.m.fs.Remove(t.unlink); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return err
		}
		return t.m.fs.SyncDir("toy")
	case t.shared:
		return nil
	case t.run == nil:
		return t.Flush()
	}
	if t.file == nil {
		f, err := t.m.fs.Create(t.seg.name)
		if errors.Is(err, vfs.ErrExist) {
			if f, err = t.m.fs.Open(t.seg.name); err == nil {
				err = f.Truncate(0)
			}
		}
		if err != nil {
			return err
		}
		t.file = f
	}
	_, err := t.file.WriteAt(t.run, t.off)
	return err
}

func (m *toy) Work(flush bool) Task {
	if m.failed || m.syncing || m.closed {
		return nil
	}
	if len(m.doomed) > 0 {
		m.syncing = true
		return &toyTask{m: m, unlink: m.doomed[0]}
	}
	for _, s := range m.segs {
		want := s.written
		if n := s.length() - s.written; n >= toyRunBytes {
			want = s.written + toyRunBytes
		}
		if flush && s == m.claimed() && s.synced < m.claim.length {
			want = max(want, m.claim.length)
			if s.written >= m.claim.length {
				m.syncing = true
				return &toyTask{m: m, seg: s, file: s.file, off: s.written}
			}
		}
		if want > s.written {
			m.syncing = true
			return &toyTask{m: m, seg: s, file: s.file, off: s.written, run: bytes.Clone(s.tail[s.written-s.synced : want-s.synced])}
		}
	}
	return nil
}

func (m *toy) Worked(task Task, err error) error {
	t := task.(*toyTask)
	if m.closed {
		m.o.bad("%s: used after Close", m.name)
	}
	m.syncing = false
	if t.seg != nil && t.seg.file == nil {
		t.seg.file = t.file
	}
	switch {
	case err != nil:
		m.failed = true
		if t.seg != nil { // nothing is known about what was not synced
			t.seg.written = t.seg.synced
			if t.run == nil {
				return err
			}
		}
	case t.unlink != "":
		m.doomed = m.doomed[1:]
	case t.run == nil:
		t.seg.tail = t.seg.tail[t.off-t.seg.synced:]
		t.seg.synced = t.off
	default:
		t.seg.written = t.off + int64(len(t.run))
	}
	return nil
}
