package group

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// promise is a commit that was told to be committed.
type promise struct {
	value int64
	until time.Time // it must not expire before
}

// ledger knows which offsets have to be there (C2).
type ledger struct {
	*world
	issued   int            // requests so far
	removed  map[string]int // the last request that may have removed it
	promises map[string]promise
}

func place(group, topic string, partition int32) string {
	return fmt.Sprint(group, "/", topic, "/", partition)
}

// mayRemove notes that a request removes what has such a name.
func (w *ledger) mayRemove(match func(group, topic, partition string) bool) {
	for g := range 4 {
		for t := range 3 {
			for p := range int32(3) {
				if name := place(fmt.Sprint("g", g), fmt.Sprint("t", t), p); match(fmt.Sprint("g", g), fmt.Sprint("t", t), fmt.Sprint(p)) {
					w.removed[name] = w.issued
					delete(w.promises, name)
				}
			}
		}
	}
}

// keeps checks every promise.
func (w *ledger) keeps() {
	w.t.Helper()
	for name, p := range w.promises {
		if !w.now.Before(p.until) {
			delete(w.promises, name)
			continue
		}
		parts := strings.Split(name, "/")
		out, err := w.s.FetchOffsets(FetchRequest{GroupID: parts[0], Topics: []TopicPartitions{{parts[1], []int32{int32(parts[2][0] - '0')}}}})
		if err != nil || out[0].Partitions[0].Offset < p.value {
			w.t.Fatalf("%s was committed at %d until %v, and is at %+v, %v", name, p.value, p.until.Sub(w.now), out, err)
		}
	}
}

// commitSimple commits as nobody.
func (w *ledger) commitSimple(group, topic string, parts []int32, call *errsCall) {
	w.offset++
	value, issued := w.offset, w.issued
	q := CommitRequest{GroupID: group, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: topic}}}
	until := w.now.Add(w.c.OffsetsRetention)
	if w.chance(20) {
		q.Retention = time.Duration(w.rnd.IntN(3000)) * time.Second
		until = w.now.Add(q.Retention)
	}
	for _, p := range parts {
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, CommitPartition{Partition: p, Offset: value, Metadata: strings.Repeat("m", w.rnd.IntN(2500))})
	}
	w.s.CommitOffsets(w.now, q, func(errs []error, err error) {
		call.done(errs, err)
		for i, p := range parts {
			if name := place(group, topic, p); err == nil && (errs == nil || errs[i] == nil) && w.removed[name] < issued && w.promises[name].value < value {
				w.promises[name] = promise{value, until}
			}
		}
	})
}

// act does anything to offsets and groups, of which a few have members.
func (w *ledger) act() {
	w.issued++
	group := fmt.Sprint("g", w.rnd.IntN(4))
	topic := fmt.Sprint("t", w.rnd.IntN(3))
	parts := []int32{int32(w.rnd.IntN(3)), int32(w.rnd.IntN(3))}
	call := &errsCall{}
	done := func(err error) { call.done(nil, err) }
	switch n := w.rnd.IntN(100); {
	case n < 60:
		w.commitSimple(group, topic, parts, call)
	case n < 70:
		w.mayRemove(func(g, t, p string) bool {
			return g == group && t == topic && (p == fmt.Sprint(parts[0]) || p == fmt.Sprint(parts[1]))
		})
		w.s.DeleteOffsets(w.now, DeleteOffsetsRequest{GroupID: group, Topics: []TopicPartitions{{topic, parts}}}, call.done)
	case n < 76:
		w.mayRemove(func(g, _, _ string) bool { return g == group })
		w.s.DeleteGroup(w.now, group, done)
	case n < 80:
		w.mayRemove(func(_, t, _ string) bool { return t == topic || t == "t1" })
		w.s.DropTopics(w.now, []string{topic, "t1"}, done)
	case n < 86:
		w.s.Join(w.now, JoinRequest{
			GroupID: group, ProtocolType: consumerProtocol, SessionTimeout: simSession,
			Protocols: []Protocol{{"range", subscribe(topic)}},
		}, func(_ JoinResponse, err error) { done(err) })
	default:
		w.advance(time.Duration(w.rnd.IntN(300)) * time.Second)
		return
	}
	w.lost = append(w.lost, once(call))
}

// TestOffsetsUnderFaults commits, deletes and expires with failed appends and
// crashes: what is visible is always what the log says, and nothing is left when
// everything is deleted.
func TestOffsetsUnderFaults(t *testing.T) {
	promised := 0
	for seed := range uint64(25) {
		w := &ledger{world: newWorld(t, seed), removed: map[string]int{}, promises: map[string]promise{}}
		w.s.c.OffsetsRetention, w.c.OffsetsRetention = time.Hour, time.Hour
		for range 1500 {
			switch n := w.rnd.IntN(100); {
			case n < 45:
				w.act()
			case n < 90 && len(w.log.flight) > 0:
				w.log.land(w.now, nil)
			case n < 96 && len(w.log.flight) > 0:
				w.log.land(w.now, errAppend)
			case n == 99:
				w.crash()
			}
			w.look()
			w.keeps()
			promised += len(w.promises)
		}
		w.calm = true
		w.advance(time.Minute) // sessions
		w.commit()
		for i := range 4 {
			w.s.DeleteGroup(w.now, fmt.Sprint("g", i), func(error) {})
			w.commit()
		}
		if w.compact(); len(w.s.groups) != 0 || w.s.bytes != 0 || len(w.kept) != 0 {
			t.Fatalf("seed %d: %d groups, %d bytes, %d keys are left", seed, len(w.s.groups), w.s.bytes, len(w.kept))
		}
	}
	if promised < 25*1500 {
		t.Fatalf("only %d promises were looked at", promised)
	}
}
