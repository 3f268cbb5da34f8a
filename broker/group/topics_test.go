package group

import (
	"errors"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
)

// Offsets are taken for topics that there are, and what says so is stored with
// them, also with one that has an expiry time of its own.
func TestTopicsOfCommits(t *testing.T) {
	id, index := ident.TopicID{7}, uint64(40)
	r := newRig(t, func(c *Config) {
		c.Topic = func(name string, asked ident.TopicID) (uint64, bool) { return index, name == "orders" && asked == id }
	})
	commit := func(topic string, of ident.TopicID, partition int32, retention time.Duration) *errsCall {
		c := &errsCall{}
		r.s.CommitOffsets(r.now, CommitRequest{GroupID: "g", Generation: -1, Retention: retention, Topics: []CommitTopic{
			{Topic: topic, TopicID: of, Partitions: []CommitPartition{{Partition: partition, Offset: 5, LeaderEpoch: 3}}},
		}}, c.done)
		r.settle()
		return c
	}
	want(t, commit("orders", id, 0, -1), nil)
	index++
	want(t, commit("orders", id, 1, time.Hour), nil)
	want(t, commit("free", ident.TopicID{}, 0, -1), nil) // nobody asks
	for topic, of := range map[string]ident.TopicID{"orders": {8}, "gone": id} {
		if errs := want(t, commit(topic, of, 2, -1), nil); len(errs) != 1 || !errors.Is(errs[0], ErrUnknownTopic) {
			t.Errorf("topic %s of id %v: %v", topic, of, errs)
		}
	}
	for range 2 {
		r.reload()
		if got := r.s.MetadataIndex(); got != 41 {
			t.Fatalf("the metadata was known up to %d", got)
		}
		for p, expire := range []int64{-1, r.now.Add(time.Hour).UnixMilli()} {
			_, e := r.s.groups["g"].entry("orders", int32(p))
			if e == nil || !e.committed {
				t.Fatalf("partition %d: no offset", p)
			}
			if v := e.value; v.offset != 5 || v.epoch != 3 || v.topic != id || v.index != 40+uint64(p) || v.expire != expire {
				t.Errorf("partition %d: %+v", p, v)
			}
		}
		if _, e := r.s.groups["g"].entry("orders", 2); e != nil {
			t.Error("an offset that was refused is there")
		}
		r.log.committed = r.s.Snapshot()
	}
}
