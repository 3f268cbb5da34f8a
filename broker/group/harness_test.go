package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"
)

var (
	errAppend = errors.New("append failed")
	errStop   = errors.New("stopped")
)

// fakeLog commits, in order, when it is told to.
type fakeLog struct {
	flight    []flying
	committed []Record
	appends   int
}

type flying struct {
	records []Record
	done    func(time.Time, error)
}

func (l *fakeLog) Append(_ time.Time, records []Record, done func(time.Time, error)) {
	l.appends++
	l.flight = append(l.flight, flying{records, done})
}

// land ends the oldest append.
func (l *fakeLog) land(now time.Time, err error) {
	f := l.flight[0]
	l.flight = l.flight[1:]
	if err == nil {
		l.committed = append(l.committed, f.records...)
	}
	f.done(now, err)
}

// rig is a shard with its log and a clock.
type rig struct {
	t   testing.TB
	c   Config
	s   *Shard
	log *fakeLog
	now time.Time
	// manual leaves appends in flight until commit or fail.
	manual bool
	ids    uint64
	events []Event
}

func newRig(t testing.TB, change func(*Config)) *rig {
	r := &rig{t: t, log: &fakeLog{}, now: time.UnixMilli(1_700_000_000_000)}
	r.c = DefaultConfig()
	r.c.InitialRebalanceDelay = 0
	r.c.Entropy = func() (id [16]byte) {
		r.ids++
		binary.BigEndian.PutUint64(id[8:], r.ids)
		return id
	}
	r.c.Observe = func(e Event) { r.events = append(r.events, e) }
	if change != nil {
		change(&r.c)
	}
	r.s = New(r.c, r.log)
	r.s.Start(r.now)
	return r
}

// settle lets the log commit, unless the test does it.
func (r *rig) settle() {
	r.t.Helper()
	for !r.manual && len(r.log.flight) > 0 {
		r.log.land(r.now, nil)
	}
	r.check()
}

func (r *rig) check() {
	r.t.Helper()
	if err := r.s.verify(); err != nil {
		r.t.Fatal(err)
	}
}

// commit lets everything in flight be committed.
func (r *rig) commit() {
	r.t.Helper()
	for len(r.log.flight) > 0 {
		r.log.land(r.now, nil)
		r.check()
	}
}

// fail lets the oldest append fail.
func (r *rig) fail() {
	r.t.Helper()
	r.log.land(r.now, errAppend)
	r.check()
}

// advance moves the clock, with a Tick whenever one is due.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	for end := r.now.Add(d); ; {
		next := r.s.Next()
		if next.After(end) {
			r.now = end
			return
		}
		if next.After(r.now) {
			r.now = next
		}
		r.s.Tick(r.now)
		r.settle()
	}
}

// reload replays what is committed into a new shard, as after a crash.
func (r *rig) reload() {
	r.t.Helper()
	r.log.flight = nil
	r.s = New(r.c, r.log)
	r.replay(r.log.committed)
	r.s.Start(r.now)
	r.check()
}

func (r *rig) replay(records []Record) {
	r.t.Helper()
	for _, rec := range records {
		if err := r.s.Replay(rec.Key, rec.Value); err != nil {
			r.t.Fatal(err)
		}
	}
}

// call is a request and its answer.
type call[R any] struct {
	answers int
	r       R
	err     error
}

func (c *call[R]) done(r R, err error) { c.answers, c.r, c.err = c.answers+1, r, err }

type (
	joinCall = call[JoinResponse]
	syncCall = call[SyncResponse]
	errsCall = call[[]error]
)

// want checks an answer.
func want[R any](t testing.TB, c *call[R], err error) R {
	t.Helper()
	if c.answers != 1 || !errors.Is(c.err, err) {
		t.Fatalf("%d answers, %v, want one: %v", c.answers, c.err, err)
	}
	return c.r
}

func waits[R any](t testing.TB, c *call[R]) {
	t.Helper()
	if c.answers != 0 {
		t.Fatalf("answered %+v, %v", c.r, c.err)
	}
}

// who makes the join of a dynamic member of group g.
func who(client, id string, protocols ...string) JoinRequest {
	r := JoinRequest{
		GroupID: "g", MemberID: id, ClientID: client, ClientHost: "/10.0.0.1", ProtocolType: consumerProtocol,
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 60 * time.Second, RequireMemberID: true, SkipAssignment: true,
	}
	if len(protocols) == 0 {
		protocols = []string{"range"}
	}
	for _, p := range protocols {
		r.Protocols = append(r.Protocols, Protocol{Name: p, Metadata: subscribe("orders")})
	}
	return r
}

// static makes the join of a static member.
func static(instance, id string, protocols ...string) JoinRequest {
	r := who("app", id, protocols...)
	r.InstanceID = instance
	return r
}

// subscribe is a consumer's metadata.
func subscribe(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
}

func (r *rig) join(q JoinRequest) *joinCall {
	r.t.Helper()
	c := &joinCall{}
	r.s.Join(r.now, q, c.done)
	r.settle()
	return c
}

// id gets a new dynamic member its id.
func (r *rig) id(q JoinRequest) string {
	r.t.Helper()
	return want(r.t, r.join(q), ErrMemberIDRequired).MemberID
}

func (r *rig) sync(j JoinResponse, assignments ...Assignment) *syncCall {
	r.t.Helper()
	c := &syncCall{}
	r.s.Sync(r.now, SyncRequest{GroupID: "g", MemberID: j.MemberID, Generation: j.Generation, Assignments: assignments}, c.done)
	r.settle()
	return c
}

func (r *rig) beat(id string, generation int32) error {
	r.t.Helper()
	err := r.s.Heartbeat(r.now, HeartbeatRequest{GroupID: "g", MemberID: id, Generation: generation})
	r.check()
	return err
}

func (r *rig) leave(members ...LeaveMember) *errsCall {
	r.t.Helper()
	c := &errsCall{}
	r.s.Leave(r.now, LeaveRequest{GroupID: "g", Members: members}, c.done)
	r.settle()
	return c
}

// members makes a stable group of n members, the first of which leads it; m0,
// m1... are what they are assigned.
func (r *rig) members(n int, protocols ...string) []JoinResponse {
	r.t.Helper()
	var reqs []JoinRequest
	for i := range n {
		q := who(fmt.Sprintf("c%d", i), "", protocols...)
		q.MemberID = r.id(q)
		reqs = append(reqs, q)
	}
	return r.stabilize(reqs)
}

// stabilize lets members join, until all are in one generation, and sync.
func (r *rig) stabilize(reqs []JoinRequest) []JoinResponse {
	r.t.Helper()
	var calls []*joinCall
	for range 3 { // the first one joins alone, if there is no initial delay
		calls = nil
		for _, q := range reqs {
			calls = append(calls, r.join(q))
		}
		if d, err := r.s.Describe("g"); err == nil && d.State == CompletingRebalance && len(d.Members) == len(reqs) {
			break
		}
	}
	var out []JoinResponse
	var all []Assignment
	for i, c := range calls {
		if c.answers == 0 || c.err != nil {
			c = r.join(reqs[i]) // it waited and was answered by its second join
		}
		j := want(r.t, c, nil)
		out = append(out, j)
		all = append(all, Assignment{MemberID: j.MemberID, Data: []byte(fmt.Sprintf("m%d", i))})
	}
	for i, j := range out {
		if j.MemberID == j.Leader {
			want(r.t, r.sync(out[i], all...), nil)
		}
	}
	for i, j := range out {
		if got := want(r.t, r.sync(j), nil); string(got.Assignment) != fmt.Sprintf("m%d", i) {
			r.t.Fatalf("member %d is assigned %q", i, got.Assignment)
		}
	}
	r.state(Stable)
	return out
}

func (r *rig) state(want State) Description {
	r.t.Helper()
	d, err := r.s.Describe("g")
	if err != nil || d.State != want {
		r.t.Fatalf("state %v, %v, want %v", d.State, err, want)
	}
	return d
}

func (r *rig) gone(group string) {
	r.t.Helper()
	if _, err := r.s.Describe(group); !errors.Is(err, ErrGroupNotFound) {
		r.t.Fatalf("group is there: %v", err)
	}
}

// put commits one offset, as a member or with generation -1 as nobody.
func (r *rig) put(id string, generation int32, topic string, partition int32, offset int64) *errsCall {
	r.t.Helper()
	c := &errsCall{}
	r.s.CommitOffsets(r.now, CommitRequest{GroupID: "g", MemberID: id, Generation: generation, Retention: -1, Topics: []CommitTopic{
		{Topic: topic, Partitions: []CommitPartition{{Partition: partition, Offset: offset, LeaderEpoch: 7, Metadata: "meta"}}},
	}}, c.done)
	r.settle()
	return c
}

// get fetches one offset.
func (r *rig) get(topic string, partition int32) int64 {
	r.t.Helper()
	out, err := r.s.FetchOffsets(FetchRequest{GroupID: "g", Topics: []TopicPartitions{{topic, []int32{partition}}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return out[0].Partitions[0].Offset
}

func (r *rig) drop(group string) *call[struct{}] {
	r.t.Helper()
	c := &call[struct{}]{}
	r.s.DeleteGroup(r.now, group, func(err error) { c.done(struct{}{}, err) })
	r.settle()
	return c
}
