package group

import (
	"fmt"
	"testing"
	"time"
)

// committing is a Log that commits when the benchmark says so.
type committing struct{ done []func(time.Time, error) }

func (l *committing) Append(_ time.Time, _ []Record, done func(time.Time, error)) {
	l.done = append(l.done, done)
}

func (l *committing) land(now time.Time) {
	for i, done := range l.done {
		done(now, nil)
		l.done[i] = nil
	}
	l.done = l.done[:0]
}

func BenchmarkHeartbeat(b *testing.B) {
	r := newRig(b, nil)
	ms := r.members(10)
	b.ReportAllocs()
	for i := range b.N {
		m := &ms[i%len(ms)]
		r.now = r.now.Add(time.Millisecond)
		if err := r.s.Heartbeat(r.now, HeartbeatRequest{GroupID: "g", MemberID: m.MemberID, Generation: m.Generation}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, parts := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("partitions=", parts), func(b *testing.B) {
			r := newRig(b, nil)
			ms := r.members(1)
			log := &committing{}
			r.s.log = log
			q := CommitRequest{GroupID: "g", MemberID: ms[0].MemberID, Generation: ms[0].Generation, Retention: -1, Topics: []CommitTopic{{Topic: "orders"}}}
			for p := range parts {
				q.Topics[0].Partitions = append(q.Topics[0].Partitions, CommitPartition{Partition: int32(p), LeaderEpoch: 1})
			}
			done := func(errs []error, err error) {
				if errs != nil || err != nil {
					b.Fatal(errs, err)
				}
			}
			b.ReportAllocs()
			for i := range b.N {
				for p := range q.Topics[0].Partitions {
					q.Topics[0].Partitions[p].Offset = int64(i)
				}
				r.s.CommitOffsets(r.now, q, done)
				log.land(r.now)
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	r := newRig(b, nil)
	ms := r.members(1)
	q := FetchRequest{GroupID: "g", Topics: []TopicPartitions{{Topic: "orders"}}}
	for p := range int32(100) {
		r.put(ms[0].MemberID, ms[0].Generation, "orders", p, 1)
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.s.FetchOffsets(q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTickIdle(b *testing.B) {
	r := newRig(b, nil)
	for i := range 3000 {
		q := who("c", "")
		q.GroupID, q.RequireMemberID = fmt.Sprint("h", i), false
		r.s.Join(r.now, q, func(JoinResponse, error) {})
	}
	b.ReportAllocs()
	for b.Loop() {
		r.s.Tick(r.now)
	}
}
