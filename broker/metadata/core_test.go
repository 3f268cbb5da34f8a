package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

func TestDamagedEntries(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), topic("t", 1, 1))
	good := encoded(t, topic("u", 2, 1))
	before, state := l.core.Image(), l.core.Marshal()
	for _, tc := range []struct {
		name        string
		index, term uint64
		data        []byte
		want        error
	}{
		{"no data", 3, 1, nil, ErrTruncated},
		{"unknown kind", 3, 1, append([]byte{1, 200}, make([]byte, 8)...), ErrKind},
		{"unknown version", 3, 1, append([]byte{9}, good[1:]...), ErrVersion},
		{"cut", 3, 1, good[:len(good)-1], ErrTruncated},
		{"same index", 2, 1, good, ErrDamaged},
		{"term goes back", 3, 0, good, ErrDamaged},
	} {
		r := l.core.Apply(tc.index, tc.term, tc.data)
		if !errors.Is(r.Err, ErrDamaged) || !errors.Is(r.Err, tc.want) || len(r.Deltas) != 0 {
			t.Errorf("%s: %+v", tc.name, r)
		}
		if l.core.Image() != before || !bytes.Equal(l.core.Marshal(), state) {
			t.Fatalf("%s: state changed", tc.name)
		}
	}
	if r := l.core.Apply(7, 4, good); r.Err != nil || r.Version != 7 {
		t.Fatalf("after a gap: %+v", r)
	}
	if index, term := l.core.Applied(); index != 7 || term != 4 {
		t.Fatalf("applied %d %d", index, term)
	}
}

func TestApplyKeepsNoReference(t *testing.T) {
	l := newLog(t)
	l.must(broker(1))
	for i, c := range []Command{topic("t", 1, 1, KV{"a", "b"}), plugin("p", "1", 1), PutStage{Name: "s", Spec: []byte("spec")}} {
		data := encoded(t, c)
		l.core.Apply(uint64(2+i), 1, data)
		state := l.core.Marshal()
		for j := range data {
			data[j] ^= 0xff
		}
		if !bytes.Equal(l.core.Marshal(), state) {
			t.Fatalf("%T: the image shares memory with the entry", c)
		}
	}
}

// TestRandomHistories checks, over random commands with fixed seeds, that equal
// commands give equal deltas and bytes, that a checkpoint and the rest of the
// log give the same as the whole log, that no image ever changes, and that
// counters and generations never go back.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 99))
			l := newLog(t)
			twin, _ := New("cluster-1")
			l.must(broker(0))
			twin.Apply(1, 1, l.entries[0])
			type past struct {
				image *Image
				bytes []byte
			}
			var pasts []past
			accepted := 0
			cut := 200 + r.IntN(400)
			var checkpoint []byte
			for i := range 800 {
				before := l.core.Image()
				a := l.apply(randomCommand(r, before.Version()))
				b := twin.Apply(l.index, 1, l.entries[l.index-1])
				if fmt.Sprint(a.Err) != fmt.Sprint(b.Err) || !reflect.DeepEqual(a.Deltas, b.Deltas) || a.ProducerIDs != b.ProducerIDs {
					t.Fatalf("entry %d: %+v and %+v", l.index, a, b)
				}
				if errors.Is(a.Err, ErrDamaged) {
					t.Fatal(a.Err)
				}
				if a.Err == nil {
					accepted++
				}
				checkStep(t, before, l.core.Image())
				if i%40 == 0 {
					pasts = append(pasts, past{before, imageBytes(before)})
				}
				if i == cut {
					checkpoint = l.core.Marshal()
				}
			}
			final := l.core.Marshal()
			if !bytes.Equal(final, twin.Marshal()) {
				t.Fatal("equal commands, different bytes")
			}
			rest, _ := New("")
			if err := rest.Restore(checkpoint); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rest.Marshal(), checkpoint) {
				t.Fatal("a restored checkpoint has other bytes")
			}
			at, _ := rest.Applied()
			for i := at; i < l.index; i++ {
				rest.Apply(i+1, 1, l.entries[i])
			}
			if !bytes.Equal(rest.Marshal(), final) {
				t.Fatal("checkpoint and rest differ from the whole log")
			}
			for i, p := range pasts {
				if !bytes.Equal(imageBytes(p.image), p.bytes) {
					t.Fatalf("image %d changed afterwards", i)
				}
			}
			if accepted < 150 {
				t.Fatalf("only %d commands accepted", accepted)
			}
		})
	}
}

func imageBytes(img *Image) []byte {
	var e encoder
	encodeImage(&e, img, 0, 0)
	return e.buf
}

// checkStep checks what must hold between an image and its successor.
func checkStep(t *testing.T, old, next *Image) {
	t.Helper()
	if next.nextGroup < old.nextGroup || next.nextReplica < old.nextReplica || next.nextProducerID < old.nextProducerID ||
		next.version < old.version {
		t.Fatalf("a counter went back at version %d", next.version)
	}
	if (old == next) != (old.version == next.version) {
		t.Fatalf("version %d then %d", old.version, next.version)
	}
	partitions := 0
	for topic := range next.Topics() {
		partitions += len(topic.Partitions)
		if was, ok := old.TopicByID(topic.ID); ok && topic.ChainGeneration < was.ChainGeneration {
			t.Fatalf("generation of %s went back", topic.Name)
		}
		if byID, _ := next.TopicByID(topic.ID); byID != topic {
			t.Fatalf("topic %s differs by name and by id", topic.Name)
		}
		for p, info := range topic.Partitions {
			if at, ok := next.PartitionOf(info.Group); !ok || at.Topic != topic.ID || int(at.Index) != p {
				t.Fatalf("group %d is at %v", info.Group, at)
			}
		}
	}
	if partitions != next.PartitionCount() || next.byID.size != next.byName.size || next.collisions.size != next.byName.size {
		t.Fatalf("%d partitions, %d groups", partitions, next.PartitionCount())
	}
}

func TestImageIsReadWhileCommandsApply(t *testing.T) {
	l := newLog(t)
	l.must(broker(1))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			last := uint64(0)
			for {
				img := l.core.Image()
				n := 0
				for range img.Topics() {
					n++
				}
				if img.Version() < last || n != img.TopicCount() {
					t.Errorf("version %d after %d, %d topics of %d", img.Version(), last, n, img.TopicCount())
					return
				}
				last = img.Version()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 500 {
		l.must(topic(fmt.Sprintf("t%d", i), i+1, 1))
		if i%3 == 0 {
			l.must(DeleteTopic{TopicID: topicID(i + 1)})
		}
	}
	close(stop)
	wg.Wait()
}

func TestNewRefusesALongClusterID(t *testing.T) {
	if _, err := New(string(make([]byte, MaxClusterID+1))); !errors.Is(err, ErrBound) {
		t.Fatal(err)
	}
}

func benchmarkCreateTopics(b *testing.B, topics int, partitions int32) {
	var entries [][]byte
	for i := range topics {
		entries = append(entries, encoded(b, topic(fmt.Sprintf("topic-%d", i), i+1, partitions)))
	}
	register := encoded(b, broker(1))
	b.ReportAllocs()
	for b.Loop() {
		core, _ := New("c")
		core.Apply(1, 1, register)
		for i, data := range entries {
			if r := core.Apply(uint64(i+2), 1, data); r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*topics), "µs/topic")
}

func BenchmarkCreateTopic3300x1(b *testing.B) { benchmarkCreateTopics(b, 3300, 1) }

func BenchmarkCreateTopic33x100(b *testing.B) { benchmarkCreateTopics(b, 33, 100) }

// benchmarkCore returns a core with 3,300 topics.
func benchmarkCore(b *testing.B) *Core {
	l := newLog(b)
	l.must(broker(1))
	for i := range 3300 {
		l.must(topic(fmt.Sprintf("topic-%d", i), i+1, 1))
	}
	return l.core
}

func BenchmarkImageTopic(b *testing.B) {
	core := benchmarkCore(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := core.Image().Topic("topic-1234"); !ok {
			b.Fatal("no topic")
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	core := benchmarkCore(b)
	b.ReportAllocs()
	for b.Loop() {
		core.Marshal()
	}
}

func BenchmarkRestore(b *testing.B) {
	data := benchmarkCore(b).Marshal()
	b.ReportAllocs()
	for b.Loop() {
		core, _ := New("")
		if err := core.Restore(data); err != nil {
			b.Fatal(err)
		}
	}
}
