package kafka

// DescribeLogDirs, versions 1 to 5 (KIP-113).
//
//	2  flexible (KIP-482)
//	3  an error for the whole request
//	4  total and usable bytes of the volume (KIP-827)
//	5  cordoned directories (KIP-1066)
//
// Gaps: there is one directory, which is never cordoned; no replica ever moves
// between directories, so none is a future one, and none lags behind itself.

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

func describeLogDirs(h *Handlers, c *Call, q *kmsg.DescribeLogDirsRequest) {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	if err := h.gate(); err != nil {
		resp.ErrorCode = h.code(err) // before version 3: no directories
		c.Respond(resp)
		return
	}
	// Asking for the size of the volume may wait for the disk.
	h.b.Run(func() {
		dir := kmsg.NewDescribeLogDirsResponseDir()
		dir.Dir = h.b.Config().LogDir
		dir.TotalBytes, dir.UsableBytes = volume(dir.Dir)
		dir.Topics = h.logDirTopics(q)
		resp.Dirs = append(resp.Dirs, dir)
		c.Respond(resp)
	})
}

// logDirTopics returns the replicas that the request asks for and this broker
// has: each once, whatever the request repeats.
func (h *Handlers) logDirTopics(q *kmsg.DescribeLogDirsRequest) []kmsg.DescribeLogDirsResponseDirTopic {
	img := h.b.Image()
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	if q.Topics == nil {
		for t := range img.Topics() {
			topics = h.appendLogDirTopic(topics, t, nil)
		}
		return topics
	}
	asked := map[string]map[int32]struct{}{}
	for i := range q.Topics {
		name := q.Topics[i].Topic
		if asked[name] == nil {
			asked[name] = map[int32]struct{}{}
		}
		for _, p := range q.Topics[i].Partitions {
			asked[name][p] = struct{}{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if t, ok := img.Topic(name); ok {
			topics = h.appendLogDirTopic(topics, t, asked[name])
		}
	}
	return topics
}

// appendLogDirTopic appends a topic with those of its replicas that are wanted,
// nil for all, unless there are none.
func (h *Handlers) appendLogDirTopic(topics []kmsg.DescribeLogDirsResponseDirTopic, t *metadata.Topic, wanted map[int32]struct{}) []kmsg.DescribeLogDirsResponseDirTopic {
	a := kmsg.NewDescribeLogDirsResponseDirTopic()
	a.Topic = t.Name
	for i := range int32(len(t.Partitions)) {
		if _, ok := wanted[i]; !ok && wanted != nil {
			continue
		}
		r := h.b.Replica(ident.Partition{Topic: t.ID, Index: i})
		if r == nil || r.Partition == nil {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = i, r.Partition.Size()
		a.Partitions = append(a.Partitions, p)
	}
	if len(a.Partitions) == 0 {
		return topics
	}
	return append(topics, a)
}
