package coordinator

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// A log that holds much more than its state is rewritten under commits, and
// nothing is lost (O4).
func TestRewriteUnderCommits(t *testing.T) {
	s := testSettings()
	s.RewriteBytes, s.SnapshotBytes = 64<<10, 1
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), s)
	w.topic("t", 1)
	want := map[string]int64{}
	text := strings.Repeat("x", 1000)
	var waiting []<-chan error
	for i := range int64(1000) {
		id := fmt.Sprintf("g%d", i%5)
		waiting = append(waiting, w.commitLater(id, "t", i, text))
		want[id] = i
		if i%50 == 0 {
			for _, c := range waiting {
				if err := take(t, c, "a commit"); err != nil {
					t.Fatal(err)
				}
			}
			waiting = nil
		}
	}
	for _, c := range waiting {
		if err := take(t, c, "a commit"); err != nil {
			t.Fatal(err)
		}
	}
	moved := 0
	for i := range int32(3) {
		topic, _ := w.Image().Topic(Topic)
		o, err := w.Replica(ident.Partition{Topic: topic.ID, Index: i}).Partition.Offsets()
		if err != nil {
			t.Fatal(err)
		}
		if o.LogStart > 0 {
			moved++
		}
		if n := o.HighWatermark - o.LogStart; n > 400 {
			t.Errorf("partition %d still has %d records", i, n)
		}
	}
	if moved == 0 {
		t.Fatal("no log was rewritten")
	}
	for range 2 {
		for id, o := range want {
			if got, err := w.fetch(id, "t"); err != nil || got != o {
				t.Fatalf("%s: offset %d, want %d, %v", id, got, o, err)
			}
		}
		w.die(s)
		if err := w.loaded(); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that was loaded counts as one that was written.
func TestRewriteAfterALoad(t *testing.T) {
	s := testSettings()
	s.Partitions = 1
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), s)
	w.topic("t", 1)
	for i := range int64(20) {
		if err := w.commit("g", "t", i, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s.RewriteBytes = 16 << 10
	w.die(s)
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if err := w.commit("g", "t", 20, ""); err != nil { // waits for what comes before it
		t.Fatal(err)
	}
	if o, err := w.part("g").Offsets(); err != nil || o.LogStart != 20 || o.HighWatermark != 22 {
		t.Errorf("%+v %v", o, err)
	}
}

// Records of operations that come within a rewrite lie behind all of it (O4).
func TestCommitsWithinARewrite(t *testing.T) {
	s := testSettings()
	s.Partitions, s.SnapshotBytes = 1, 1
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), s)
	w.topic("t", 1)
	for round := range int64(5) {
		for g := range 10 {
			if err := w.commit(fmt.Sprintf("g%d", g), "t", round, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.c.Do("g", func(time.Time, *group.Shard, error) { w.c.core.s.RewriteBytes = 1 })
	w.hold()
	var waiting []<-chan error
	for g := range 10 { // the last of them is the last in the snapshot too
		waiting = append(waiting, w.commitLater(fmt.Sprintf("g%d", g), "t", 100, ""))
	}
	w.release()
	for _, c := range waiting {
		if err := take(t, c, "a commit"); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := w.part("g").Offsets(); err != nil || o.LogStart < 50 {
		t.Errorf("%+v %v", o, err)
	}
	w.die(testSettings())
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	for g := range 10 {
		if o, err := w.fetch(fmt.Sprintf("g%d", g), "t"); err != nil || o != 100 {
			t.Fatalf("group %d: offset %d, %v", g, o, err)
		}
	}
}

// Wherever the process dies, also within a rewrite, the offsets that were
// acknowledged are there, and none goes back (C2, O4).
func TestCrashesWithinARewrite(t *testing.T) {
	s := testSettings()
	s.RewriteBytes, s.Partitions, s.SnapshotBytes = 16<<10, 1, 1
	text := strings.Repeat("x", 1000)
	rewritten := 0
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), s)
		w.topic("t", 1)
		if _, err := w.fetch("g0", "t"); err != nil {
			t.Fatal(err)
		}
		w.hang(rng.IntN(120))
		acked, sent := map[string]int64{}, map[string]int64{}
		type commit struct {
			id     string
			offset int64
			out    <-chan error
		}
		var line []commit
		for i := range int64(60) {
			id := fmt.Sprintf("g%d", i%3)
			line = append(line, commit{id, i, w.commitLater(id, "t", i, text)})
			sent[id] = i
			// The coordinator has seen it.
			if _, err := w.fetch(id, "t"); err != nil {
				t.Fatal(err)
			}
		}
		w.die(s)
		for _, c := range line {
			if err := take(t, c.out, "an answer"); err == nil {
				acked[c.id] = max(acked[c.id], c.offset+1)
			}
		}
		if err := w.loaded(); err != nil {
			t.Fatal(err)
		}
		for id, last := range sent {
			got, err := w.fetch(id, "t")
			if err != nil || got < acked[id]-1 || got > last {
				t.Fatalf("seed %d, %s: offset %d, acknowledged %d, sent %d, %v", seed, id, got, acked[id]-1, last, err)
			}
		}
		o, err := w.part("g0").Offsets()
		if err != nil {
			t.Fatal(err)
		}
		if o.LogStart > 0 {
			rewritten++
		}
		w.c.Close()
	}
	if rewritten < 5 || rewritten > 75 {
		t.Errorf("%d of 80 crashes came behind a rewrite", rewritten)
	}
}

// A log of which nothing is left is emptied.
func TestRewriteOfNothing(t *testing.T) {
	s := testSettings()
	w := newWorld(t, vfs.NewMem(vfs.MemOptions{}), s)
	w.topic("t", 1)
	for i := range int64(5) {
		if err := w.commit("g", "t", i, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	w.c.Do("g", func(now time.Time, s *group.Shard, err error) {
		s.DeleteGroup(now, "g", func(err error) { done <- err })
	})
	if err := take(t, done, "the deletion"); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != -1 {
		t.Fatalf("offset %d, %v", o, err)
	}
	w.c.Do("g", func(time.Time, *group.Shard, error) { w.c.core.s.RewriteBytes = 1 })
	if err := w.commit("g", "t", 1, ""); err != nil { // behind the rewrite
		t.Fatal(err)
	}
	o, err := w.part("g").Offsets()
	if err != nil || o.LogStart != 7 || o.HighWatermark != 8 {
		t.Errorf("%+v %v", o, err)
	}
	w.die(s)
	if err := w.loaded(); err != nil {
		t.Fatal(err)
	}
	if o, err := w.fetch("g", "t"); err != nil || o != 1 {
		t.Fatalf("offset %d, %v", o, err)
	}
}
