package partition

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

const testDir = "partitions/p.1"

// item is one proposal.
type item struct {
	data   []byte
	token  any
	system bool
}

// outboxTestMax is a small outbox.
const outboxTestMax = 400

// jobs is a Runner that keeps what it is given until the test runs it.
type jobs struct {
	list []func()
}

func (j *jobs) run(work, done func()) {
	j.list = append(j.list, func() { work(); done() })
}

// step runs the oldest n jobs, and those that they lead to; -1 means all.
func (j *jobs) step(n int) {
	for ; n != 0 && len(j.list) > 0; n-- {
		f := j.list[0]
		j.list = j.list[1:]
		f()
	}
}

// queue is a Proposer that keeps what it is given until the test decides.
type queue struct {
	items []item
	fail  error // of Propose
}

func (q *queue) Propose(data []byte, token any, system bool) error {
	if q.fail != nil {
		return q.fail
	}
	q.items = append(q.items, item{data, token, system})
	return nil
}

// site is one replica and its disk.
type site struct {
	t     testing.TB
	fs    *vfs.Mem
	over  vfs.FS // what the partition sees of it
	p     *Partition
	state []byte         // of the last checkpoint
	tail  []replog.Entry // applied since then
	jobs  jobs
}

func newSite(t testing.TB, inject func(vfs.Op) error, log Proposer) *site {
	s := &site{t: t, fs: vfs.NewMem(vfs.MemOptions{})}
	s.over = s.fs
	if inject != nil {
		s.over = vfs.NewFaulty(s.fs, inject)
	}
	s.open(log)
	return s
}

func (s *site) open(log Proposer) {
	s.t.Helper()
	p, err := Open(Config{
		FS: s.over, Dir: testDir, Cache: storage.NewCache(storage.Limits{}), Log: log, QueueBytesMax: 64 << 10,
		Run: s.jobs.run, Entropy: func() uint64 { return 7 }, OutboxBytesMax: outboxTestMax,
	}, s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	s.p = p
}

// apply applies an entry and keeps it for replay.
func (s *site) apply(e replog.Entry) error {
	err := s.p.Apply(e)
	if err == nil {
		e.Token = nil
		s.tail = append(s.tail, e)
	}
	return err
}

// work performs everything that is ready.
func (s *site) work(flush bool) {
	s.t.Helper()
	for task := s.p.Work(flush); task != nil; task = s.p.Work(flush) {
		if err := s.p.Worked(task, task.Do()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// checkpoint makes the present state durable.
func (s *site) checkpoint() []byte {
	s.t.Helper()
	s.p.Capture()
	covered := len(s.tail)
	s.work(true)
	if done, stale := s.p.Flushed(); !done || stale {
		s.t.Fatalf("not flushed: %v %v", done, stale)
	}
	s.state = bytes.Clone(s.p.State())
	s.tail = append([]replog.Entry(nil), s.tail[covered:]...)
	s.p.Durable()
	s.work(true)
	return s.state
}

// crash loses power, and recovers by the last checkpoint and the entries behind
// it.
func (s *site) crash(rng *rand.Rand, log Proposer) {
	s.t.Helper()
	s.fs = s.fs.Crash(rng, vfs.CrashOptions{Keep: 0.5, Tear: true, Reorder: true})
	s.over = s.fs
	s.open(log)
	for _, e := range s.tail {
		if err := s.p.Apply(e); err != nil {
			s.t.Fatal(err)
		}
	}
}

// harness drives a leader, and a follower that applies the same entries.
type harness struct {
	*site
	other       *site
	log         *queue
	index, term uint64
}

func newHarness(t testing.TB) *harness {
	h := newQuiet(t)
	h.lead()
	return h
}

// newQuiet makes a harness that does not lead yet.
func newQuiet(t testing.TB) *harness {
	log := &queue{}
	return &harness{site: newSite(t, nil, log), other: newSite(t, nil, &queue{}), log: log, term: 1}
}

func (h *harness) entry(data []byte, token any) error {
	h.index++
	e := replog.Entry{Index: h.index, Term: h.term, Data: data, Token: token}
	err := h.site.apply(e)
	e.Token = nil
	if err != nil { // as the engine does
		h.p.Dropped(token, replog.ErrParked)
	}
	if other := h.other.apply(e); (err == nil) != (other == nil) {
		h.t.Fatalf("entry %d: the leader says %v, the other replica %v", h.index, err, other)
	}
	return err
}

// lead begins a term.
func (h *harness) lead() {
	h.t.Helper()
	h.term++
	if err := h.entry(nil, nil); err != nil {
		h.t.Fatal(err)
	}
	h.p.Lead(h.term)
}

// apply applies the n oldest proposals; -1 means all.
func (h *harness) apply(n int) {
	h.t.Helper()
	for ; n != 0 && len(h.log.items) > 0; n-- {
		i := h.log.items[0]
		h.log.items = h.log.items[1:]
		if err := h.entry(i.data, i.token); err != nil {
			h.t.Fatal(err)
		}
	}
	if n > 0 {
		h.t.Fatalf("%d proposals too few", n)
	}
}

// drop drops the oldest proposal.
func (h *harness) drop(err error) {
	h.t.Helper()
	if len(h.log.items) == 0 {
		h.t.Fatal("nothing to drop")
	}
	i := h.log.items[0]
	h.log.items = h.log.items[1:]
	h.p.Dropped(i.token, err)
}

// same checks that both replicas have the same state and the same files (P1).
func (h *harness) same() {
	h.t.Helper()
	a, b := h.checkpoint(), h.other.checkpoint()
	if !bytes.Equal(a, b) {
		h.t.Fatalf("states differ:\n%x\n%x", a, b)
	}
	if h.fs.Digest() != h.other.fs.Digest() {
		h.t.Fatal("files differ")
	}
	if h.p.queued < 0 {
		h.t.Fatalf("%d bytes queued", h.p.queued)
	}
}

// spec describes a batch.
type spec struct {
	id    int64
	epoch int16
	seq   int32
	n     int   // records; 0 means 1
	size  int   // bytes of each value
	ts    int64 // 0 means 1000
	gen   uint64
}

func (c spec) build(t testing.TB) []byte {
	t.Helper()
	params := record.DefaultParams(record.None, 1000)
	if c.ts != 0 {
		params.BaseTimestamp = c.ts
	}
	params.ProducerID, params.ProducerEpoch, params.BaseSequence = c.id, c.epoch, c.seq
	b := record.NewBuilder(params)
	for i := range max(c.n, 1) {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: make([]byte, c.size)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c spec) header(t testing.TB) record.Header {
	h, err := record.ParseHeader(c.build(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// outcome counts the answers of one Append.
type outcome struct {
	*Append
	answers int
}

// produce sends a batch.
func (h *harness) produce(c spec) *outcome {
	h.t.Helper()
	o := &outcome{}
	o.Append = &Append{Entry: NewEntry(c.build(h.t), 1000, c.gen, nil), Header: c.header(h.t), Done: func(*Append) { o.answers++ }}
	h.p.Produce(o.Append)
	return o
}

// is checks an answer; base -1 asks for an error.
func (o *outcome) is(t testing.TB, base ident.Offset, duplicate bool, err error) {
	t.Helper()
	if o.answers != 1 || !errors.Is(o.Err, err) || (err == nil && (o.Base != base || o.Duplicate != duplicate)) {
		t.Fatalf("%d answers: %v at %d, duplicate %v; want %v at %d, %v", o.answers, o.Err, o.Base, o.Duplicate, err, base, duplicate)
	}
}

func (o *outcome) waits(t testing.TB) {
	t.Helper()
	if o.answers != 0 {
		t.Fatalf("answered: %v", o.Err)
	}
}

// end returns the log end, which is the high watermark.
func (h *harness) end() ident.Offset { return h.p.log.End() }
