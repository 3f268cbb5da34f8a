package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// cluster is several nodes in one goroutine, with a network that loses, repeats
// and reorders frames while it is bad.
type cluster struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	disks []*vfs.Mem
	nodes []*Node         // nil: down
	tasks [][]replog.Task // of each node, not yet performed
	slow  int             // of so many tasks one is performed in a round; 0: all
	peers []Peer
	wire  []wireFrame
	bad   bool
	cut   map[[2]ident.NodeID]bool
	lose  func(wireFrame) bool // what never arrives; nil: nothing
	keep  int64
	tier  func(i int) TierConfig // nil: there is none
	set   func(*Config)          // changes what the nodes are opened with; nil: nothing
}

type wireFrame struct {
	from, to ident.NodeID
	b        []byte
}

func newCluster(t *testing.T, n int, seed uint64, keep int64) *cluster {
	cryptotest.SetGlobalRandom(t, seed)
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.UnixMilli(1_000_000), cut: map[[2]ident.NodeID]bool{}, keep: keep}
	for i := range n {
		c.peers = append(c.peers, Peer{Node: ident.NodeID(i + 1), Replica: ident.ReplicaID(i + 1)})
		c.disks = append(c.disks, vfs.NewMem(vfs.MemOptions{}))
		c.nodes, c.tasks = append(c.nodes, nil), append(c.tasks, nil)
	}
	for i := range n {
		c.open(i)
	}
	return c
}

func (c *cluster) open(i int) {
	cfg := testConfig(c.disks[i])
	cfg.MaintainEvery = 24 * time.Hour // nothing is to be deleted
	cfg.ID, cfg.Peers, cfg.Engine.KeepBytes = ident.NodeID(i+1), c.peers, c.keep
	cfg.Send = func(to ident.NodeID, frame []byte) {
		c.wire = append(c.wire, wireFrame{ident.NodeID(i + 1), to, bytes.Clone(frame)})
	}
	cfg.Report = func(e Event) { c.t.Logf("node %d reports %s: %v", i+1, e.Text, e.Err) }
	if c.tier != nil {
		cfg.Tier, cfg.Entropy = c.tier(i), c.rng.Uint64
	}
	if c.set != nil {
		c.set(&cfg)
	}
	n, _, err := Open(cfg, c.now)
	if err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
	c.nodes[i] = n
}

func (c *cluster) crash(i int) {
	c.disks[i] = c.disks[i].Crash(c.rng, vfs.CrashOptions{Keep: c.rng.Float64(), Tear: true, Reorder: true})
	c.nodes[i], c.tasks[i] = nil, nil
}

// step lets 100 ms pass: several rounds of I/O and of frames.
func (c *cluster) step() {
	c.now = c.now.Add(100 * time.Millisecond)
	for _, n := range c.nodes {
		if n != nil {
			n.Tick(c.now)
		}
	}
	for range 6 {
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			var later []replog.Task
			for _, task := range append(c.tasks[i], n.Poll(c.now)...) {
				if c.slow > 0 && c.rng.IntN(c.slow) > 0 {
					later = append(later, task)
					continue
				}
				_ = task.Do()
				n.Done(c.now, task)
			}
			c.tasks[i] = later
			if n.Err() != nil {
				c.t.Fatalf("node %d: %v", i+1, n.Err())
			}
		}
		frames := c.wire
		c.wire = nil
		if c.bad {
			c.rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		}
		for _, f := range frames {
			if c.cut[[2]ident.NodeID{f.from, f.to}] || c.bad && c.rng.IntN(5) == 0 || c.lose != nil && c.lose(f) {
				continue
			}
			times := 1
			if c.bad && c.rng.IntN(10) == 0 {
				times = 2
			}
			for range times {
				if n := c.nodes[f.to-1]; n != nil {
					if err := n.Receive(f.from, bytes.Clone(f.b)); err != nil {
						c.t.Fatalf("frame %d of %d bytes: %v", f.b[0], len(f.b), err)
					}
				}
			}
		}
	}
}

func (c *cluster) until(what string, steps int, done func() bool) {
	c.t.Helper()
	for range steps {
		if done() {
			return
		}
		c.step()
	}
	c.t.Fatalf("%s: not after %d steps", what, steps)
}

func (c *cluster) controller() *Node {
	for _, n := range c.nodes {
		if n != nil && n.Controller() {
			return n
		}
	}
	return nil
}

func (c *cluster) command(cmd metadata.Command) {
	c.t.Helper()
	done := false
	c.until("command", 600, func() bool {
		if done {
			return true
		}
		if n := c.controller(); n != nil {
			n.Command(cmd, func(r metadata.Result) { done = done || r.Err == nil || n.Image().Check(cmd) != nil })
		}
		return done
	})
}

// leader returns the replica that serves a partition's clients.
func (c *cluster) leader(id ident.Partition) *partition.Partition {
	for _, n := range c.nodes {
		if n == nil {
			continue
		}
		if r := n.Replica(id); n.Ready() && r != nil && r.Partition != nil && r.Partition.Leads() {
			return r.Partition
		}
	}
	return nil
}

func (c *cluster) topic(id byte, partitions int32, rf int16) ident.TopicID {
	for _, p := range c.peers {
		c.command(metadata.RegisterBroker{NodeID: p.Node, DirectoryID: [16]byte{byte(p.Node)}, Host: "localhost", Port: 9092})
	}
	c.command(metadata.CreateTopic{Name: "t" + strconv.Itoa(int(id)), TopicID: ident.TopicID{id}, Partitions: partitions, ReplicationFactor: rf})
	return ident.TopicID{id}
}

// produce begins to produce a value, wherever the partition is led.
func (c *cluster) produce(id ident.Partition, value string, acked func(ident.Offset)) {
	if p := c.leader(id); p != nil {
		c.produceAt(p, value, acked)
	}
}

// produceAt begins to produce a value at a replica.
func (c *cluster) produceAt(p *partition.Partition, value string, acked func(ident.Offset)) {
	b := testBatch(c.t, value)
	h, err := record.ParseHeader(b)
	if err != nil {
		c.t.Fatal(err)
	}
	p.Produce(&partition.Append{Entry: partition.NewEntry(b, 1, 0, nil), Header: h, Done: func(a *partition.Append) {
		if a.Err == nil {
			acked(a.Base)
		}
	}})
}

// contents returns the bytes of a replica's log, read as another replica would.
func contents(t *testing.T, n *Node, id ident.Partition) (out []byte, end ident.Offset) {
	p := n.Replica(id).Partition
	at, end := p.Bounds()
	for at < end {
		c, err := p.Copy(at, end)
		if err != nil {
			t.Fatal(err)
		}
		out, at = append(out, c.Batches...), c.Next
	}
	return out, end
}

// clusterSeeds runs the first so many seeds, or those that VARVE_CLUSTER_SEED and
// VARVE_CLUSTER_SEEDS name.
func clusterSeeds(t *testing.T, count uint64, run func(*testing.T, uint64)) {
	first := uint64(1)
	if v, err := strconv.ParseUint(os.Getenv("VARVE_CLUSTER_SEED"), 10, 64); err == nil {
		first, count = v, 1
	}
	if v, err := strconv.ParseUint(os.Getenv("VARVE_CLUSTER_SEEDS"), 10, 64); err == nil {
		count = v
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed) })
	}
}

// TestClusterKeepsWhatItAcknowledged produces over crashes, cuts and a bad
// network, and looks for every acknowledged value at its offset on each replica.
// Little of the log is kept in memory, so that replicas that were down are given
// snapshots.
func TestClusterKeepsWhatItAcknowledged(t *testing.T) {
	clusterSeeds(t, 6, clusterRun)
}

func clusterRun(t *testing.T, seed uint64) {
	c := newCluster(t, []int{3, 3, 5, 2}[seed%4], seed, []int64{500, 5000, 1 << 20}[seed%3])
	id := ident.Partition{Topic: c.topic(1, 1, int16(min(len(c.nodes), 3)))}
	acked := map[ident.Offset]string{}
	next := 0
	for round := range 40 {
		switch c.rng.IntN(9) {
		case 8:
			c.slow = c.rng.IntN(10)
		case 0:
			c.crash(c.rng.IntN(len(c.nodes)))
		case 1:
			a, b := ident.NodeID(1+c.rng.IntN(len(c.nodes))), ident.NodeID(1+c.rng.IntN(len(c.nodes)))
			c.cut[[2]ident.NodeID{a, b}] = true
		case 2:
			clear(c.cut)
		case 3:
			c.bad = !c.bad
		case 4:
			if n := c.nodes[c.rng.IntN(len(c.nodes))]; n != nil {
				n.Checkpoint()
			}
		}
		for i, n := range c.nodes {
			if n == nil && c.rng.IntN(3) == 0 {
				c.open(i)
			}
		}
		for range 20 {
			for range c.rng.IntN(4) {
				value := fmt.Sprintf("%d-%d-%s", round, next, bytes.Repeat([]byte("x"), c.rng.IntN(2000)))
				next++
				c.produce(id, value, func(at ident.Offset) {
					if old, ok := acked[at]; ok && old != value {
						t.Fatalf("offset %d was told twice", at)
					}
					acked[at] = value
				})
			}
			c.step()
		}
	}
	c.bad, c.slow = false, 0
	clear(c.cut)
	for i, n := range c.nodes {
		if n == nil {
			c.open(i)
		}
	}
	c.until("a leader in the end", 300, func() bool { return c.leader(id) != nil })
	last := false
	c.until("a record in the end", 100, func() bool {
		if !last {
			c.produce(id, "last", func(at ident.Offset) { acked[at], last = "last", true })
		}
		return last
	})
	_, end := c.leader(id).Bounds()
	c.until("all replicas have it", 600, func() bool {
		for _, n := range c.nodes {
			if r := n.Replica(id); r != nil && r.Partition != nil {
				if _, e := r.Partition.Bounds(); e < end {
					return false
				}
			}
		}
		return true
	})
	var want []byte
	replicas := 0
	for i, n := range c.nodes {
		if n.Replica(id) == nil {
			continue
		}
		replicas++
		got, _ := contents(t, n, id)
		if want == nil {
			want = got
		} else if !bytes.Equal(got, want) {
			t.Fatalf("node %d has another log: %d and %d bytes", i+1, len(got), len(want))
		}
	}
	found := map[ident.Offset]string{}
	for b := want; len(b) > 0; {
		h, err := record.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := record.ForEach(b[:h.Size()], 1<<20, func(r *record.Record) error {
			found[ident.Offset(h.BaseOffset+int64(r.OffsetDelta))] = string(r.Value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b = b[h.Size():]
	}
	for at, value := range acked {
		if found[at] != value {
			t.Errorf("acknowledged at %d: %.20q, found %.20q; the log has %d and ends at %d", at, value, found[at], len(found), end)
		}
	}
	t.Logf("%d nodes, %d replicas: %d produced, %d acknowledged, log of %d", len(c.nodes), replicas, next, len(acked), end)
}
