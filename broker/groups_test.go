package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/internal/vfs"
)

// groupPatience bounds what a test waits for something that must happen.
const groupPatience = 60 * time.Second

// make makes a topic, with records "0-0", "0-1" and so on in each partition.
func (r *running) topic(t *testing.T, name string, partitions, records int) {
	t.Helper()
	adm := kadm.NewClient(r.client(t))
	if _, err := adm.CreateTopic(t.Context(), int32(partitions), 1, nil, name); err != nil {
		t.Fatal(err)
	}
	r.produce(t, name, partitions, 0, records)
}

func (r *running) produce(t *testing.T, name string, partitions, from, to int) {
	t.Helper()
	cl := r.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	for p := range partitions {
		for i := from; i < to; i++ {
			rec := &kgo.Record{Topic: name, Partition: int32(p), Value: fmt.Appendf(nil, "%d-%d", p, i)}
			if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// member is a consumer of a group that polls until it is ended.
type member struct {
	cl  *kgo.Client
	end context.CancelFunc
	wg  sync.WaitGroup

	mu   sync.Mutex
	have map[int32]bool
	got  []string
	lost int // times that something was taken away
}

func (r *running) join(t *testing.T, groupID, topic string, opts ...kgo.Opt) *member {
	t.Helper()
	m := &member{have: map[int32]bool{}}
	note := func(on, revoked bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, ps map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range ps[topic] {
				if on {
					m.have[p] = true
				} else {
					delete(m.have, p)
				}
			}
			if revoked && len(ps[topic]) > 0 {
				m.lost++
			}
		}
	}
	m.cl = r.client(t, append([]kgo.Opt{
		kgo.ConsumerGroup(groupID), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true, false)), kgo.OnPartitionsRevoked(note(false, true)), kgo.OnPartitionsLost(note(false, true)),
	}, opts...)...)
	ctx, end := context.WithCancel(t.Context())
	m.end = end
	m.wg.Go(func() {
		for ctx.Err() == nil {
			m.cl.PollFetches(ctx).EachRecord(func(k *kgo.Record) {
				m.mu.Lock()
				m.got = append(m.got, string(k.Value))
				m.mu.Unlock()
			})
		}
	})
	t.Cleanup(m.stop)
	return m
}

// stop ends the polling; the member stays in the group until its client closes.
func (m *member) stop() {
	m.end()
	m.wg.Wait()
}

func (m *member) owned() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int32
	for p := range m.have {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

// until waits for something that must come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(groupPatience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// shared reports whether members have all partitions, each one of them, and
// every member has some (C1).
func shared(partitions int, members ...*member) func() bool {
	return func() bool {
		var all []int32
		for _, m := range members {
			have := m.owned()
			if len(have) == 0 {
				return false
			}
			all = append(all, have...)
		}
		slices.Sort(all)
		for i, p := range all {
			if int(p) != i {
				return false
			}
		}
		return len(all) == partitions
	}
}

func TestGroupsRebalance(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{
		"eager range": kgo.RangeBalancer(), "eager sticky": kgo.StickyBalancer(), "cooperative": kgo.CooperativeStickyBalancer(),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, vfs.NewMem(vfs.MemOptions{}), "group.initial.rebalance.delay.ms=0")
			defer r.end(t)
			r.topic(t, "t", 4, 3)
			a := r.join(t, "g", "t", kgo.Balancers(balancer))
			until(t, "one member with everything", shared(4, a))
			b := r.join(t, "g", "t", kgo.Balancers(balancer))
			until(t, "two members", shared(4, a, b))
			if len(a.owned()) != 2 {
				t.Errorf("unequal: %v and %v", a.owned(), b.owned())
			}
			until(t, "all records", func() bool { return a.count()+b.count() >= 12 })
			b.stop()
			b.cl.Close() // leaves
			until(t, "one member with everything again", shared(4, a))
			a.stop()
			a.cl.Close()
		})
	}
}

// The offsets of a group are where it left them after the broker came back, and
// no record is skipped (C2, C4).
func TestOffsetsSurviveARestart(t *testing.T) {
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, fs, "group.initial.rebalance.delay.ms=0")
	r.topic(t, "t", 3, 5)
	a := r.join(t, "g", "t")
	until(t, "all records", func() bool { return a.count() == 15 })
	a.stop()
	if err := a.cl.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.cl.Close()
	r.end(t)

	r = run(t, fs, "group.initial.rebalance.delay.ms=0")
	defer r.end(t)
	offsets, err := kadm.NewClient(r.client(t)).FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(3) {
		if o, ok := offsets.Lookup("t", p); !ok || o.At != 5 {
			t.Errorf("partition %d: %+v", p, o)
		}
	}
	r.produce(t, "t", 3, 5, 7)
	b := r.join(t, "g", "t")
	until(t, "the rest", func() bool { return b.count() >= 6 })
	b.stop()
	slices.Sort(b.got)
	if want := "0-5 0-6 1-5 1-6 2-5 2-6"; strings.Join(b.got, " ") != want {
		t.Errorf("%v, want %s", b.got, want)
	}
	b.cl.Close()
}

// Whatever the broker goes through, members that process and then commit miss no
// record, and no committed offset goes back (C2, C4).
func TestConsumersOverRestarts(t *testing.T) {
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const partitions, records = 3, 60
	r := run(t, fs, "group.initial.rebalance.delay.ms=0")
	addresses, _ := r.b.Addresses()
	r.topic(t, "t", partitions, records)
	var mu sync.Mutex
	seen := map[string]bool{}
	consume, end := context.WithCancel(t.Context())
	var members sync.WaitGroup
	for range 2 {
		cl := r.client(t, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.SessionTimeout(6*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll())
		members.Go(func() {
			for consume.Err() == nil {
				fetches := cl.PollRecords(consume, 2)
				fetches.EachRecord(func(k *kgo.Record) {
					mu.Lock()
					seen[string(k.Value)] = true
					mu.Unlock()
				})
				cl.CommitUncommittedOffsets(consume) // it may fail: then they come again
				cl.AllowRebalance()
			}
			cl.CloseAllowingRebalance()
		})
	}
	last := map[int32]int64{}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	check := func() (all bool) {
		cl := r.client(t)
		defer cl.Close()
		offsets, err := kadm.NewClient(cl).FetchOffsets(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		all = true
		for p := range int32(partitions) {
			o, ok := offsets.Lookup("t", p)
			if !ok {
				o.At = 0
			}
			if o.At < last[p] || o.Err != nil {
				t.Fatalf("partition %d: offset %d after %d, %v", p, o.At, last[p], o.Err)
			}
			last[p] = o.At
			all = all && o.At == records
		}
		return all
	}
	for life := range 2 {
		until(t, "some records", func() bool { return count() >= (life+1)*partitions*records/5 })
		check()
		r.end(t)
		r = run(t, fs, "group.initial.rebalance.delay.ms=0", "listeners="+addresses[0])
		check()
	}
	until(t, "all offsets", check)
	end()
	members.Wait()
	if n := count(); n != partitions*records {
		t.Errorf("%d records seen, want %d", n, partitions*records)
	}
	r.end(t)
}

// A static member that comes back gets its partitions without a rebalance of the
// others (KIP-345).
func TestStaticMemberComesBack(t *testing.T) {
	r := run(t, vfs.NewMem(vfs.MemOptions{}), "group.initial.rebalance.delay.ms=0")
	defer r.end(t)
	r.topic(t, "t", 4, 1)
	a := r.join(t, "g", "t", kgo.InstanceID("a"), kgo.Balancers(kgo.RangeBalancer()))
	b := r.join(t, "g", "t", kgo.InstanceID("b"), kgo.Balancers(kgo.RangeBalancer()))
	until(t, "two members", shared(4, a, b))
	had := b.owned()
	b.stop()
	b.cl.Close() // a static member does not leave
	a.mu.Lock()
	lost := a.lost
	a.mu.Unlock()
	adm := kadm.NewClient(r.client(t))
	generation := func() int32 {
		_, g, err := describeOne(t, adm, "g")
		if err != nil {
			t.Fatal(err)
		}
		return int32(len(g.Members))
	}
	if n := generation(); n != 2 {
		t.Errorf("%d members after one closed its client", n)
	}
	b = r.join(t, "g", "t", kgo.InstanceID("b"), kgo.Balancers(kgo.RangeBalancer()))
	until(t, "its partitions", func() bool { return slices.Equal(b.owned(), had) })
	a.mu.Lock()
	if a.lost != lost {
		t.Errorf("the other member lost something")
	}
	a.mu.Unlock()
	// An administrator removes it by its instance id, and the other has all.
	b.stop()
	b.cl.Close()
	if _, err := adm.LeaveGroup(t.Context(), kadm.LeaveGroup("g").InstanceIDs("b")); err != nil {
		t.Fatal(err)
	}
	until(t, "one member with everything", shared(4, a))
}

func describeOne(t *testing.T, adm *kadm.Client, id string) (bool, kadm.DescribedGroup, error) {
	t.Helper()
	groups, err := adm.DescribeGroups(t.Context(), id)
	if err != nil {
		return false, kadm.DescribedGroup{}, err
	}
	g, ok := groups[id]
	return ok, g, g.Err
}

func TestGroupAdministration(t *testing.T) {
	r := run(t, vfs.NewMem(vfs.MemOptions{}), "group.initial.rebalance.delay.ms=0")
	defer r.end(t)
	r.topic(t, "t", 2, 2)
	r.topic(t, "other", 1, 1)
	ctx, adm := t.Context(), kadm.NewClient(r.client(t))
	if groups, err := adm.ListGroups(ctx); err != nil || len(groups) != 0 {
		t.Fatalf("%v %v", groups, err)
	}
	a := r.join(t, "live", "t")
	until(t, "the member's partitions", shared(2, a))
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 1, LeaderEpoch: -1, Metadata: "note"})
	offsets.Add(kadm.Offset{Topic: "t", Partition: 1, At: 2, LeaderEpoch: -1})
	offsets.Add(kadm.Offset{Topic: "other", Partition: 0, At: 1, LeaderEpoch: -1})
	for i := range 20 { // groups in many shards
		if err := adm.CommitAllOffsets(ctx, fmt.Sprintf("simple-%02d", i), offsets); err != nil {
			t.Fatal(err)
		}
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil || len(groups) != 21 || groups["live"].State != "Stable" || groups["simple-07"].State != "Empty" || groups["live"].ProtocolType != "consumer" {
		t.Fatalf("%v %v", groups, err)
	}
	if groups, err = adm.ListGroups(ctx, "Stable"); err != nil || len(groups) != 1 {
		t.Errorf("%v %v", groups, err)
	}
	if _, g, err := describeOne(t, adm, "live"); err != nil || g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientHost == "" {
		t.Errorf("%+v %v", g, err)
	}
	if _, g, err := describeOne(t, adm, "nobody"); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("%+v %v", g, err)
	}
	// Offsets go one by one, but not those of a topic that members read.
	gone := kadm.TopicsSet{}
	gone.Add("t", 0)
	deleted, err := adm.DeleteOffsets(ctx, "simple-07", gone)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	left, err := adm.FetchOffsets(ctx, "simple-07")
	if _, ok := left.Lookup("t", 0); ok || err != nil || len(left.Offsets().Sorted()) != 2 {
		t.Errorf("%+v %v", left, err)
	}
	if deleted, err = adm.DeleteOffsets(ctx, "live", gone); err == nil && !errors.Is(deleted.Error(), kerr.GroupSubscribedToTopic) {
		t.Errorf("%v", deleted)
	}
	// Groups go whole, but not with members.
	done, err := adm.DeleteGroups(ctx, "simple-07", "live", "nobody")
	if err != nil || done["simple-07"].Err != nil || !errors.Is(done["live"].Err, kerr.NonEmptyGroup) || !errors.Is(done["nobody"].Err, kerr.GroupIDNotFound) {
		t.Errorf("%+v %v", done, err)
	}
	if groups, err = adm.ListGroups(ctx); err != nil || len(groups) != 20 {
		t.Errorf("%v %v", groups, err)
	}
	// Offsets of a deleted topic are gone, also if there is another of its name.
	if _, err := adm.DeleteTopics(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "other"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		left, err := adm.FetchOffsets(ctx, fmt.Sprintf("simple-%02d", i))
		if o, ok := left.Lookup("other", 0); ok || err != nil {
			t.Errorf("group %d: %+v %v", i, o, err)
		}
	}
	a.stop()
	a.cl.Close()
}

// A shutdown answers who waits for other members, at once.
func TestShutdownAnswersWaitingMembers(t *testing.T) {
	r := run(t, vfs.NewMem(vfs.MemOptions{}), "group.initial.rebalance.delay.ms=600000")
	r.topic(t, "t", 1, 0)
	cl := r.client(t, kgo.RequestRetries(0))
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = "g", "consumer", 10_000, 600_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte{1}
	q.Protocols = append(q.Protocols, p)
	first, err := q.RequestWith(t.Context(), cl)
	if err != nil || first.ErrorCode != kerr.MemberIDRequired.Code {
		t.Fatalf("%+v %v", first, err)
	}
	q.MemberID = first.MemberID
	answer := make(chan error, 1)
	go func() {
		resp, err := q.RequestWith(t.Context(), cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		answer <- err
	}()
	adm := kadm.NewClient(r.client(t))
	until(t, "the member", func() bool {
		_, g, err := describeOne(t, adm, "g")
		return err == nil && len(g.Members) == 1
	})
	r.end(t)
	if err := <-answer; !errors.Is(err, kerr.NotCoordinator) {
		t.Errorf("answered with %v", err)
	}
}

// A client that asks for the topic of the groups has it made as they need it.
func TestGroupsTopicIsMade(t *testing.T) {
	r := run(t, vfs.NewMem(vfs.MemOptions{}), "offsets.topic.num.partitions=7")
	defer r.end(t)
	cl := r.client(t)
	q := kmsg.NewPtrMetadataRequest()
	name := coordinator.Topic
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	q.Topics, q.AllowAutoTopicCreation = append(q.Topics, topic), true
	resp, err := q.RequestWith(t.Context(), cl)
	if err != nil || resp.Topics[0].ErrorCode != 0 || !resp.Topics[0].IsInternal || len(resp.Topics[0].Partitions) != 7 {
		t.Fatalf("%+v %v", resp, err)
	}
	configs, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
	for _, c := range configs[0].Configs {
		if v, ok := want[c.Key]; ok && c.MaybeValue() != v {
			t.Errorf("%s=%s, want %s", c.Key, c.MaybeValue(), v)
		}
	}
}
