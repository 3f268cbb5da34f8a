package kafka

// OffsetFetch, versions 1 to 10.
//
// Version 2 can ask for all offsets of a group and has an error of the whole
// answer, 3 has throttle time, 5 leader epochs (KIP-320), 6 is flexible
// (KIP-482), 7 can ask for stable offsets (KIP-447), 8 has several groups
// (KIP-709), 9 members (KIP-848), 10 topic ids (KIP-516).
//
//   - Every offset is stable: no transaction commits offsets yet.
//   - Member ids and epochs are those of the new protocol and are not looked at.
//   - Version 10 leaves out offsets of topics that do not exist, which have no id.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
)

// offsetFetchGroupsMax bounds the groups of one request; what is asked of more
// is answered as if they were too long.
const offsetFetchGroupsMax = 10_000

func offsetFetch(h *Handlers, c *Call, q *kmsg.OffsetFetchRequest) {
	if c.Version < 8 {
		offsetFetchOne(h, c, q)
		return
	}
	r := kmsg.NewPtrOffsetFetchResponse()
	r.Groups = make([]kmsg.OffsetFetchResponseGroup, len(q.Groups))
	all := countdown(len(q.Groups), func() { c.Respond(r) })
	img := h.b.Image()
	for i := range q.Groups {
		asked, answer := &q.Groups[i], &r.Groups[i]
		answer.Group = asked.Group
		if i >= offsetFetchGroupsMax {
			answer.ErrorCode = h.code(group.ErrInvalidRequest)
			all()
			continue
		}
		f := newFetchOffsets(img, c.Version, asked)
		h.readGroup(asked.Group, func(_ time.Time, s *group.Shard, err error) {
			var got []group.FetchedTopic
			if err == nil {
				got, err = s.FetchOffsets(group.FetchRequest{GroupID: asked.Group, All: asked.Topics == nil, Topics: f.topics, RequireStable: q.RequireStable})
			}
			if answer.ErrorCode = h.code(err); err == nil {
				answer.Topics = f.answer(h, got)
			}
			all()
		})
	}
	all()
}

// fetchOffsets is one group's part of a request from version 8 on.
type fetchOffsets struct {
	img     *metadata.Image
	byID    bool
	topics  []group.TopicPartitions
	refused []kmsg.OffsetFetchResponseGroupTopic // of ids that no topic has
	err     []error                              // of refused
}

func newFetchOffsets(img *metadata.Image, version int16, q *kmsg.OffsetFetchRequestGroup) *fetchOffsets {
	f := &fetchOffsets{img: img, byID: version >= 10}
	for i := range q.Topics {
		t := &q.Topics[i]
		name := t.Topic
		if f.byID {
			found, err := topicBy(img, true, "", t.TopicID)
			if err != nil {
				answer := kmsg.NewOffsetFetchResponseGroupTopic()
				answer.TopicID = t.TopicID
				for _, index := range t.Partitions {
					p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
					p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = index, -1, -1, new(string)
					answer.Partitions = append(answer.Partitions, p)
				}
				f.refused, f.err = append(f.refused, answer), append(f.err, err)
				continue
			}
			name = found.Name
		}
		f.topics = append(f.topics, group.TopicPartitions{Topic: name, Partitions: t.Partitions})
	}
	return f
}

// answer makes the answer of what was found.
func (f *fetchOffsets) answer(h *Handlers, got []group.FetchedTopic) []kmsg.OffsetFetchResponseGroupTopic {
	out := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(got)+len(f.refused))
	for i := range got {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		if t.Topic = got[i].Topic; f.byID {
			found, ok := f.img.Topic(t.Topic)
			if !ok {
				continue
			}
			t.TopicID = found.ID
		}
		t.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(got[i].Partitions))
		for j := range got[i].Partitions {
			o, p := &got[i].Partitions[j], &t.Partitions[j]
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, o.Offset, o.LeaderEpoch, &o.Metadata
		}
		out = append(out, t)
	}
	for i := range f.refused {
		for j := range f.refused[i].Partitions {
			f.refused[i].Partitions[j].ErrorCode = h.code(f.err[i])
		}
		out = append(out, f.refused[i])
	}
	return out
}

// offsetFetchOne answers versions 1 to 7, which ask for one group.
func offsetFetchOne(h *Handlers, c *Call, q *kmsg.OffsetFetchRequest) {
	r := kmsg.NewPtrOffsetFetchResponse()
	topics := make([]group.TopicPartitions, len(q.Topics))
	for i := range q.Topics {
		topics[i] = group.TopicPartitions{Topic: q.Topics[i].Topic, Partitions: q.Topics[i].Partitions}
	}
	h.readGroup(q.Group, func(_ time.Time, s *group.Shard, err error) {
		var got []group.FetchedTopic
		if err == nil {
			got, err = s.FetchOffsets(group.FetchRequest{GroupID: q.Group, All: q.Topics == nil, Topics: topics, RequireStable: q.RequireStable})
		}
		if err != nil {
			got = nothingFetched(topics)
		}
		r.ErrorCode = h.code(err)
		for i := range got {
			t := kmsg.NewOffsetFetchResponseTopic()
			t.Topic = got[i].Topic
			t.Partitions = make([]kmsg.OffsetFetchResponseTopicPartition, len(got[i].Partitions))
			for j := range got[i].Partitions {
				o, p := &got[i].Partitions[j], &t.Partitions[j]
				p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, o.Offset, o.LeaderEpoch, &o.Metadata
				p.ErrorCode = r.ErrorCode
			}
			r.Topics = append(r.Topics, t)
		}
		c.Respond(r)
	})
}

// nothingFetched is what an error is told with: before version 2 there is no
// other place for it.
func nothingFetched(topics []group.TopicPartitions) []group.FetchedTopic {
	out := make([]group.FetchedTopic, len(topics))
	for i, t := range topics {
		out[i].Topic = t.Topic
		for _, index := range t.Partitions {
			out[i].Partitions = append(out[i].Partitions, group.FetchedOffset{Partition: index, Offset: -1, LeaderEpoch: -1})
		}
	}
	return out
}
