package group

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	simSession   = 10 * time.Second
	simRebalance = 20 * time.Second
	simDelay     = 3 * time.Second
)

// world is a shard, many clients and everything that goes wrong.
type world struct {
	*rig
	rnd     *rand.Rand
	clients []*client
	lost    []func() error // checks of the calls of clients that died
	names   int
	nonce   int
	offset  int64
	// decided are the assignments that leaders made, by nonce and by member: the
	// instance of a static one, the id of another.
	decided map[string]map[string]string
	told    map[string]string // group and generation to nonce (C1)
	acked   map[string]int64  // by partition, the highest told to be committed (C2)
	since   map[string]time.Time
	state   map[string]string // what since is about
	calm    bool              // no more faults
	synced  int
	looks   int

	kept      map[string]string // the log, compacted
	compacted int               // how many of its records
}

// client is one consumer.
type client struct {
	group, name, instance string
	flavour               int
	id                    string
	generation            int32
	roster                []JoinMember
	at                    int // what it did last
	join                  *joinCall
	sync                  *syncCall
}

const (
	idle = iota
	joining
	joined
	syncing
	inGroup
)

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 1)), decided: map[string]map[string]string{}, told: map[string]string{},
		acked: map[string]int64{}, since: map[string]time.Time{}, state: map[string]string{},
	}
	w.rig = newRig(t, func(c *Config) {
		if seed%2 == 0 {
			c.InitialRebalanceDelay = simDelay
		}
		if seed%5 == 0 {
			c.MaxSize = 4
		}
		c.AppendBytesMax = 4000
	})
	w.manual = true
	for i := range 8 {
		w.clients = append(w.clients, w.client(i))
	}
	return w
}

// client makes the consumer in a place: its group and instance stay, what else it
// is does not.
func (w *world) client(place int) *client {
	w.names++
	c := &client{group: fmt.Sprint("g", place%2), name: fmt.Sprint("c", w.names)}
	if place/2 >= 2 {
		c.instance = fmt.Sprint("i", place)
	}
	return c
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// settled is what the client makes of answers that came.
func (w *world) settled(c *client) {
	if c.at == joining && c.join.answers > 0 {
		j := c.join
		c.join, c.at = nil, idle
		switch {
		case j.err == nil:
			c.id, c.generation, c.roster, c.at = j.r.MemberID, j.r.Generation, j.r.Members, joined
			if j.r.SkipAssignment {
				c.roster = nil
			}
		case errors.Is(j.err, ErrMemberIDRequired):
			c.id = j.r.MemberID
		case errors.Is(j.err, ErrUnknownMember), errors.Is(j.err, ErrFencedInstance), errors.Is(j.err, ErrGroupMaxSize):
			c.id = ""
		}
	}
	if c.at == syncing && c.sync.answers > 0 {
		y := c.sync
		c.sync, c.at = nil, idle
		switch {
		case y.err == nil:
			c.at = inGroup
			w.tell(c, string(y.r.Assignment))
		case errors.Is(y.err, ErrUnknownMember), errors.Is(y.err, ErrFencedInstance):
			c.id = ""
		}
	}
}

// tell checks that the assignment is the generation's only one.
func (w *world) tell(c *client, assignment string) {
	w.t.Helper()
	w.synced++
	nonce, _, _ := strings.Cut(assignment, "/")
	key := fmt.Sprint(c.group, "/", c.generation)
	if had, ok := w.told[key]; ok && had != nonce {
		w.t.Fatalf("generation %s has assignments %s and %s", key, had, nonce)
	}
	w.told[key] = nonce
	who := c.instance
	if who == "" {
		who = c.id
	}
	if w.decided[nonce][who] != assignment || assignment == "" {
		w.t.Fatalf("%s of %s is told %q of %v", who, key, assignment, w.decided[nonce])
	}
}

// act lets a client do what it does next.
func (w *world) act(c *client) {
	w.settled(c)
	switch c.at {
	case joining:
		if w.chance(5) { // it lost its connection, and sends it again
			w.lose(c)
			w.sendJoin(c)
		}
	case syncing:
		if w.chance(5) {
			w.lose(c)
			w.sendSync(c)
		}
	case idle:
		w.sendJoin(c)
	case joined:
		w.sendSync(c)
	case inGroup:
		w.live(c)
	}
}

// live is what a member of a stable group does.
func (w *world) live(c *client) {
	switch n := w.rnd.IntN(100); {
	case n < 60:
		err := w.s.Heartbeat(w.now, HeartbeatRequest{GroupID: c.group, MemberID: c.id, InstanceID: c.instance, Generation: c.generation})
		w.heard(c, err)
	case n < 94 || w.calm:
		w.sendCommit(c)
	case n < 96:
		c.at = idle // it wants a rebalance, or thinks so
	case n < 98:
		c.flavour++ // its subscription changed
		c.at = idle
	default:
		call := &errsCall{}
		w.s.Leave(w.now, LeaveRequest{GroupID: c.group, Members: []LeaveMember{{MemberID: c.id, InstanceID: c.instance}}}, call.done)
		w.lost = append(w.lost, once(call))
		c.id, c.at = "", idle
	}
}

func (w *world) heard(c *client, err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrUnknownMember), errors.Is(err, ErrFencedInstance):
		c.id, c.at = "", idle
	case errors.Is(err, ErrRebalanceInProgress), errors.Is(err, ErrIllegalGeneration):
		c.at = idle
	}
}

func (w *world) sendJoin(c *client) {
	q := JoinRequest{
		GroupID: c.group, MemberID: c.id, InstanceID: c.instance, ClientID: c.name, ProtocolType: consumerProtocol,
		SessionTimeout: simSession, RebalanceTimeout: simRebalance, RequireMemberID: len(c.name)%2 == 0, SkipAssignment: len(c.name)%3 > 0,
		Protocols: []Protocol{{"range", subscribe("orders", fmt.Sprint("t", c.flavour))}, {"sticky", nil}},
	}
	if c.flavour%3 == 1 {
		slices.Reverse(q.Protocols)
	}
	c.join, c.at = &joinCall{}, joining
	w.s.Join(w.now, q, c.join.done)
}

func (w *world) sendSync(c *client) {
	q := SyncRequest{GroupID: c.group, MemberID: c.id, InstanceID: c.instance, Generation: c.generation}
	if len(c.roster) > 0 {
		w.nonce++
		all := map[string]string{}
		for i, m := range c.roster {
			data := fmt.Sprint("n", w.nonce, "/", i)
			all[m.MemberID] = data
			if m.InstanceID != "" {
				all[m.InstanceID] = data
			}
			q.Assignments = append(q.Assignments, Assignment{m.MemberID, []byte(data)})
		}
		w.decided[fmt.Sprint("n", w.nonce)] = all
	}
	c.sync, c.at = &syncCall{}, syncing
	w.s.Sync(w.now, q, c.sync.done)
}

// sendCommit commits offsets that are higher than any before.
func (w *world) sendCommit(c *client) {
	q := CommitRequest{GroupID: c.group, MemberID: c.id, InstanceID: c.instance, Generation: c.generation, Retention: -1, Topics: []CommitTopic{{Topic: "orders"}}}
	values := map[string]int64{}
	for range 1 + w.rnd.IntN(4) {
		w.offset++
		p := int32(w.rnd.IntN(5))
		values[fmt.Sprint(c.group, "/", p)] = w.offset
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, CommitPartition{Partition: p, Offset: w.offset, Metadata: strings.Repeat("m", w.rnd.IntN(1500))})
	}
	call := &errsCall{}
	w.s.CommitOffsets(w.now, q, func(errs []error, err error) {
		call.done(errs, err)
		if err == nil && errs == nil {
			for p, v := range values {
				w.acked[p] = max(w.acked[p], v)
			}
		}
	})
	w.lost = append(w.lost, once(call))
	w.heard(c, call.err)
}

// once is a check, to be made after Stop, that a call was answered.
func once[R any](c *call[R]) func() error {
	return func() error {
		if c.answers != 1 {
			return fmt.Errorf("%d answers", c.answers)
		}
		return nil
	}
}

// lose forgets the calls of a client.
func (w *world) lose(c *client) {
	if c.join != nil {
		w.lost = append(w.lost, once(c.join))
	}
	if c.sync != nil {
		w.lost = append(w.lost, once(c.sync))
	}
	c.join, c.sync = nil, nil
}

// crash stops the shard and loads it again. What was in flight may have been
// committed, up to any point.
func (w *world) crash() {
	w.t.Helper()
	for n := w.rnd.IntN(len(w.log.flight) + 1); n > 0; n-- {
		w.log.committed = append(w.log.committed, w.log.flight[0].records...)
		w.log.flight = w.log.flight[1:]
	}
	late := w.log.flight
	w.s.Stop(errStop)
	for _, f := range late {
		f.done(w.now, errAppend) // it counts for nothing
	}
	w.allAnswered()
	w.reload()
	clear(w.state)
}

// allAnswered checks that every call was answered exactly once.
func (w *world) allAnswered() {
	w.t.Helper()
	for _, check := range w.lost {
		if err := check(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.lost = nil
	for _, c := range w.clients {
		if c.join != nil && c.join.answers != 1 || c.sync != nil && c.sync.answers != 1 {
			w.t.Fatalf("%s has no answer", c.name)
		}
	}
}

// step is one thing that happens.
func (w *world) step() {
	switch n := w.rnd.IntN(1000); {
	case n < 500:
		w.act(w.clients[w.rnd.IntN(len(w.clients))])
	case n < 800:
		if len(w.log.flight) > 0 {
			w.log.land(w.now, nil)
		}
	case n < 960 || w.calm:
		w.advance(time.Duration(w.rnd.IntN(800)) * time.Millisecond)
	case n < 970:
		w.advance(time.Duration(w.rnd.IntN(15)) * time.Second)
	case n < 985:
		if len(w.log.flight) > 0 {
			w.log.land(w.now, errAppend)
		}
	case n < 993:
		place := w.rnd.IntN(len(w.clients)) // a client dies, and another comes for it
		w.lose(w.clients[place])
		w.clients[place] = w.client(place)
	case n < 997:
		w.crash()
	default:
		if w.s.Pending() == 0 { // the log is rewritten
			w.log.committed, w.compacted, w.kept = w.s.Snapshot(), 0, nil
		}
	}
}

// compact notes what the log says of each key.
func (w *world) compact() {
	if len(w.log.committed) < w.compacted {
		w.kept, w.compacted = nil, 0
	}
	if w.kept == nil {
		w.kept = map[string]string{}
	}
	for _, rec := range w.log.committed[w.compacted:] {
		if rec.Value == nil {
			delete(w.kept, string(rec.Key))
		} else {
			w.kept[string(rec.Key)] = string(rec.Value)
		}
	}
	w.compacted = len(w.log.committed)
}

// look checks what holds at any time.
func (w *world) look() {
	w.t.Helper()
	w.check()
	w.compact()
	if w.looks++; w.looks%8 == 0 {
		snapshot := w.s.Snapshot()
		for _, rec := range snapshot {
			if kept, ok := w.kept[string(rec.Key)]; !ok || kept != string(rec.Value) {
				w.t.Fatalf("the log has %q at %q, the snapshot %q", kept, rec.Key, rec.Value)
			}
		}
		if len(snapshot) != len(w.kept) {
			w.t.Fatalf("the log has %d keys, the snapshot %d", len(w.kept), len(snapshot))
		}
	}
	for p, v := range w.acked {
		group, index, _ := strings.Cut(p, "/")
		out, err := w.s.FetchOffsets(FetchRequest{GroupID: group, Topics: []TopicPartitions{{"orders", []int32{int32(index[0] - '0')}}}})
		if err != nil || out[0].Partitions[0].Offset < v {
			w.t.Fatalf("%s was committed at %d, and is at %+v, %v", p, v, out, err)
		}
	}
	for _, g := range w.s.all {
		what := fmt.Sprint(g.state, g.generation)
		if w.state[g.id] != what {
			w.state[g.id], w.since[g.id] = what, w.now
		}
		most := 2 * simRebalance
		if g.state == CompletingRebalance {
			most = simRebalance
		}
		late := w.now.Sub(w.since[g.id]) > most
		if late && (g.state == PreparingRebalance || g.state == CompletingRebalance && g.owed > 0) {
			w.t.Fatalf("group %s is in %s since %v", g.id, what, w.now.Sub(w.since[g.id]))
		}
	}
}

// TestGroupsUnderFaults drives many members with lost clients, failed appends and
// crashes: C1, C2, C3, one answer to every request, and in the end a stable
// group.
func TestGroupsUnderFaults(t *testing.T) {
	seeds, steps := uint64(40), 1500
	if testing.Short() {
		seeds = 10
	}
	synced, commits := 0, 0
	for seed := range seeds {
		w := newWorld(t, seed)
		for i := 0; i < steps && !t.Failed(); i++ {
			w.step()
			w.look()
		}
		w.heal()
		w.s.Stop(errStop)
		w.allAnswered()
		synced += w.synced
		commits += len(w.acked)
	}
	if synced < int(seeds)*20 || commits < int(seeds)*3 {
		t.Fatalf("only %d assignments, %d partitions committed", synced, commits)
	}
}

// heal lets everything go well until every client is a member.
func (w *world) heal() {
	w.t.Helper()
	w.calm = true
	end := w.now.Add(5 * time.Minute)
	for w.now.Before(end) {
		for _, c := range w.clients {
			w.act(c)
			w.commit()
		}
		w.advance(time.Second)
		w.look()
	}
	for _, c := range w.clients {
		w.settled(c)
		if c.at != inGroup {
			w.t.Fatalf("%s %s is no member (%d): %v %d %v", c.group, c.name, c.at, w.s.groups[c.group].state, w.s.groups[c.group].generation, w.c.MaxSize)
		}
	}
}
