//go:build clients

package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/clients/scenario"
)

// groupPartitions is what two members share.
const groupPartitions = 4

// A variant is a client with a way to divide partitions.
type variant struct {
	client   client
	strategy string
	static   bool
}

func (v variant) name() string {
	n := v.client.name + "-" + v.strategy
	if v.static {
		n += "-static"
	}
	return n
}

func (v variant) instance(member string) string {
	if v.static {
		return v.name() + "-" + member
	}
	return ""
}

// variants are all of them: what the clients do by default, the cooperative
// protocol where they have it, and static members where they have those.
func variants() []variant {
	var out []variant
	for _, c := range clients {
		switch c.name {
		case "kafkajs": // neither
			out = append(out, variant{client: c, strategy: "roundrobin"})
		case "sarama": // no cooperative protocol
			out = append(out, variant{client: c, strategy: "range"}, variant{client: c, strategy: "sticky"},
				variant{client: c, strategy: "range", static: true})
		case "java": // it tells of every rebalance
			out = append(out, variant{client: c, strategy: "range"}, variant{client: c, strategy: "cooperative-sticky"},
				variant{client: c, strategy: "cooperative-sticky", static: true})
		default:
			out = append(out, variant{client: c, strategy: "range"}, variant{client: c, strategy: "cooperative-sticky"},
				variant{client: c, strategy: "range", static: true})
		}
	}
	return out
}

// TestGroups has two members of every client share the partitions of a topic,
// while records come, one after the other goes, and the broker is killed under
// them, the second time while a third member joins. Every record is read, none
// that was committed is read again, and in the end all are committed.
func TestGroups(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := newLookout(t, b.Addr())
	var all []*party
	for _, v := range variants() {
		topic := "group-" + v.name()
		createTopicWide(ctx, t, look.cl, topic, groupPartitions, nil)
		all = append(all, newParty(t, look, b.Addr(), v, topic))
	}
	each := func(step func(context.Context, *party) error) {
		var work sync.WaitGroup
		for _, p := range all {
			if p.err != nil {
				continue
			}
			work.Go(func() { p.err = step(ctx, p) })
		}
		work.Wait()
	}
	each(func(ctx context.Context, p *party) error { return p.first(ctx) })
	each(func(ctx context.Context, p *party) error { return p.second(ctx) })
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, p := range all {
		p.quiet(false)
		busy.Go(func() { p.keepSending(ctx, stop) })
	}
	look.progress(ctx, t, all)
	b.Kill(t)
	b = b.Again(t)
	look.progress(ctx, t, all)
	close(stop)
	busy.Wait()
	each(func(ctx context.Context, p *party) error { return p.recovered(ctx) })
	for _, p := range all {
		if p.err == nil {
			p.start("c")
		}
	}
	look.unsettled(ctx, t, all)
	b.Kill(t)
	b = b.Again(t)
	each(func(ctx context.Context, p *party) error { return p.third(ctx) })
	each(func(ctx context.Context, p *party) error { return p.again(ctx) })
	each(func(ctx context.Context, p *party) error { return p.alone(ctx) })
	each(func(ctx context.Context, p *party) error { return p.leave(ctx) })
	for _, p := range all {
		t.Run(p.v.name(), func(t *testing.T) { p.check(t) })
	}
	t.Run("restarted", func(t *testing.T) { restarted(t, b, all) })
}

// restarted compares what the groups have committed with what a new life of the
// broker says, which reads it from its log.
func restarted(t *testing.T, b *broker.Process, all []*party) {
	b.Stop(t)
	b = b.Again(t)
	look := newLookout(t, b.Addr())
	for _, p := range all {
		if p.err != nil {
			continue // told already
		}
		got, err := look.committed(t.Context(), p.group, p.topic, groupPartitions)
		if err != nil || !slices.Equal(got, p.ends) {
			t.Errorf("%s: committed %v before the restart, %v after it: %v", p.group, p.ends, got, err)
		}
	}
	for _, c := range clients {
		if c.groupless {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			i := slices.IndexFunc(all, func(p *party) bool { return p.v.client.name == c.name })
			administer(t, c, b.Addr(), all[i])
		})
	}
	t.Run("tools", func(t *testing.T) { groupTools(t, b, all[len(all)-1]) })
}

// party is a group of one variant, with what its members are to read.
type party struct {
	v     variant
	topic string
	group string
	dir   string
	addr  string
	look  *lookout

	members map[string]*running
	ended   []scenario.Membership
	err     error // what ended the party

	// ends are where the partitions end. Records from loud to calm, by
	// partition, were sent while members or the broker came or went.
	ends, loud, calm []int64
	// steady are where the records end that were sent while two members stayed
	// and the broker was killed.
	steady []int64
	// since are where the records begin that count; nil are the starts.
	since []int64
}

// newParty returns a party without members. Those that are there in the end are
// killed.
func newParty(t *testing.T, look *lookout, addr string, v variant, topic string) *party {
	t.Helper()
	p := &party{v: v, topic: topic, group: topic, dir: t.TempDir(), addr: addr, look: look, members: map[string]*running{}}
	t.Cleanup(func() {
		for name := range p.members {
			p.crash(name)
		}
	})
	return p
}

// running is a member's process.
type running struct {
	until string
	kill  func()
	done  chan struct{}
	out   outcome[scenario.Membership]
}

func (p *party) start(name string) { p.startAs(p.v.client, name) }

func (p *party) startAs(c client, name string) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{kill: cancel, until: filepath.Join(p.dir, fmt.Sprintf("until-%s-%d", name, files.Add(1))), done: make(chan struct{})}
	p.members[name] = r
	q := scenario.Member{Topic: p.topic, Group: p.group, Strategy: p.v.strategy, Instance: p.v.instance(name), Until: r.until}
	go func() {
		defer close(r.done)
		defer cancel()
		r.out.got, r.out.err = tryWith[scenario.Membership](ctx, c, p.dir, p.addr, "member", q)
	}()
}

// crash kills a member's process.
func (p *party) crash(name string) {
	r := p.members[name]
	r.kill()
	<-r.done
	delete(p.members, name)
}

// end tells a member to end and waits for it.
func (p *party) end(name string) error {
	r := p.members[name]
	if err := os.WriteFile(r.until, nil, 0o600); err != nil {
		return err
	}
	<-r.done
	delete(p.members, name)
	p.ended = append(p.ended, r.out.got)
	return r.out.err
}

// gone ends a member and, if it is static, takes it out of the group.
func (p *party) gone(ctx context.Context, name string) error {
	if err := p.end(name); err != nil || !p.v.static {
		return err
	}
	return p.look.remove(ctx, p.group, p.v.instance(name))
}

// first starts a member alone, with records that wait for it.
func (p *party) first(ctx context.Context) error {
	p.ends = make([]int64, groupPartitions)
	if err := p.send(ctx); err != nil {
		return err
	}
	p.start("a")
	if err := p.divided(ctx, 4); err != nil {
		return err
	}
	return p.caughtUp(ctx)
}

// second lets another member join.
func (p *party) second(ctx context.Context) error {
	p.start("b")
	if err := p.divided(ctx, 2, 2); err != nil {
		return err
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	return p.caughtUp(ctx)
}

// recovered is after the broker was killed, which took away nobody's place.
func (p *party) recovered(ctx context.Context) error {
	if err := p.divided(ctx, 2, 2); err != nil {
		return err
	}
	p.steady = slices.Clone(p.ends)
	return p.caughtUp(ctx)
}

// third is after the broker was killed while a third member joined, which gets
// its share nevertheless, and goes.
func (p *party) third(ctx context.Context) error {
	if err := p.divided(ctx, 1, 1, 2); err != nil {
		return err
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	if err := p.caughtUp(ctx); err != nil {
		return err
	}
	if err := p.gone(ctx, "c"); err != nil {
		return err
	}
	if err := p.divided(ctx, 2, 2); err != nil {
		return err
	}
	p.quiet(true)
	return p.send(ctx)
}

// again ends a static member and starts it again, which nobody notices.
func (p *party) again(ctx context.Context) error {
	if err := p.caughtUp(ctx); err != nil || !p.v.static {
		return err
	}
	before, err := p.look.memberID(ctx, p.group, p.v.instance("a"))
	if err != nil {
		return err
	}
	if err := p.end("a"); err != nil {
		return err
	}
	if err := p.divided(ctx, 2, 2); err != nil {
		return err
	}
	p.start("a")
	for id := before; id == before; {
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("member a does not come back: %w", err)
		}
		if id, err = p.look.memberID(ctx, p.group, p.v.instance("a")); err != nil {
			return err
		}
	}
	if err := p.divided(ctx, 2, 2); err != nil {
		return err
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	return p.caughtUp(ctx)
}

// alone lets the first member go; the other takes over.
func (p *party) alone(ctx context.Context) error {
	if err := p.gone(ctx, "a"); err != nil {
		return err
	}
	if err := p.divided(ctx, 4); err != nil {
		return err
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	return p.caughtUp(ctx)
}

// leave lets the other go. The group stays, with its offsets.
func (p *party) leave(ctx context.Context) error {
	if err := p.gone(ctx, "b"); err != nil {
		return err
	}
	if err := p.divided(ctx); err != nil {
		return err
	}
	return p.caughtUp(ctx)
}
