package kafka

import (
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

func TestDeleteRecords(t *testing.T) {
	g := newAdminRig(t)
	topic := g.topic("t", 2)
	g.topic("compacted", 1, "cleanup.policy=compact")
	g.topic("both", 1, "cleanup.policy=compact,delete")
	g.must(metadata.CreateTopic{Name: "__plugin_modules", TopicID: newTopicID(), Partitions: 1, ReplicationFactor: 1, Internal: true})
	g.produce(ident.Partition{Topic: topic.ID}, 10)
	for _, tt := range []struct {
		name      string
		topic     string
		partition int32
		offset    int64
		want      *kerr.Error
		low       int64
	}{
		{"up to 3", "t", 0, 3, nil, 3},
		{"what is gone", "t", 0, 2, nil, 3},
		{"beyond the end", "t", 0, 11, kerr.OffsetOutOfRange, -1},
		{"below -1", "t", 0, -2, kerr.OffsetOutOfRange, -1},
		{"the largest", "t", 0, math.MaxInt64, kerr.OffsetOutOfRange, -1},
		{"all", "t", 0, -1, nil, 10},
		{"nothing there", "t", 1, -1, nil, 0},
		{"no such partition", "t", 2, 0, kerr.UnknownTopicOrPartition, -1},
		{"negative partition", "t", -1, 0, kerr.UnknownTopicOrPartition, -1},
		{"no such topic", "missing", 0, 0, kerr.UnknownTopicOrPartition, -1},
		{"bad name", "a b", 0, 0, kerr.InvalidTopicException, -1},
		{"internal", "__plugin_modules", 0, 0, kerr.InvalidTopicException, -1},
		{"compacted", "compacted", 0, 0, kerr.PolicyViolation, -1},
		{"compacted and deleted", "both", 0, 0, nil, 0},
	} {
		q := kmsg.NewPtrDeleteRecordsRequest()
		q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: tt.topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: tt.partition, Offset: tt.offset}}}}
		p := ask[*kmsg.DeleteRecordsResponse](g, 2, q).Topics[0].Partitions[0]
		wantCode(t, tt.name, p.ErrorCode, nil, tt.want)
		if p.LowWatermark != tt.low || p.Partition != tt.partition {
			t.Errorf("%s: %+v, want low watermark %d", tt.name, p, tt.low)
		}
	}
	o, err := g.Replica(ident.Partition{Topic: topic.ID}).Partition.Offsets()
	if err != nil || o.LogStart != 10 {
		t.Errorf("offsets %+v %v", o, err)
	}
	if empty := ask[*kmsg.DeleteRecordsResponse](g, 0, kmsg.NewPtrDeleteRecordsRequest()); len(empty.Topics) != 0 {
		t.Errorf("no topics: %+v", empty)
	}
}

// Every partition of a request has its own outcome, in the request's order.
func TestDeleteRecordsOfManyPartitions(t *testing.T) {
	g := newAdminRig(t)
	topic := g.topic("t", 3)
	q := kmsg.NewPtrDeleteRecordsRequest()
	part := func(p int32, o int64) kmsg.DeleteRecordsRequestTopicPartition {
		return kmsg.DeleteRecordsRequestTopicPartition{Partition: p, Offset: o}
	}
	for p := range int32(3) {
		g.produce(ident.Partition{Topic: topic.ID, Index: p}, int(p)+1)
	}
	q.Topics = []kmsg.DeleteRecordsRequestTopic{
		{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{part(2, -1), part(0, 5), part(9, 0)}},
		{Topic: "x", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{part(0, 0)}},
		{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{part(1, 1)}},
	}
	var got string
	for _, rt := range ask[*kmsg.DeleteRecordsResponse](g, 1, q).Topics {
		for _, p := range rt.Partitions {
			got += fmt.Sprintf("%s-%d:%d/%d ", rt.Topic, p.Partition, p.LowWatermark, p.ErrorCode)
		}
	}
	if want := "t-2:3/0 t-0:-1/1 t-9:-1/3 x-0:-1/3 t-1:1/0 "; got != want {
		t.Errorf("answers %s, want %s", got, want)
	}
}

func TestDescribeLogDirs(t *testing.T) {
	g := newAdminRig(t)
	a := g.topic("a", 2)
	g.topic("b", 1)
	g.produce(ident.Partition{Topic: a.ID, Index: 1}, 3)
	sizeOf := func(p int32) int64 {
		return g.Replica(ident.Partition{Topic: a.ID, Index: p}).Partition.Size()
	}
	if sizeOf(1) == 0 {
		t.Fatal("records have no size")
	}
	whole := fmt.Sprintf("a-0:%d a-1:%d b-0:0 ", sizeOf(0), sizeOf(1))
	type asked = kmsg.DescribeLogDirsRequestTopic
	for _, tt := range []struct {
		name   string
		topics []asked
		want   string
	}{
		{"everything", nil, whole},
		{"nothing", []asked{}, ""},
		{"one", []asked{{Topic: "a", Partitions: []int32{1}}}, fmt.Sprintf("a-1:%d ", sizeOf(1))},
		{"again and again", []asked{{Topic: "a", Partitions: []int32{1, 1}}, {Topic: "a", Partitions: []int32{1, 0}}, {Topic: "b", Partitions: []int32{0}}}, whole},
		{"unknown", []asked{{Topic: "x", Partitions: []int32{0}}, {Topic: "b", Partitions: []int32{-1, 1, 0}}}, "b-0:0 "},
		{"no partition", []asked{{Topic: "a"}}, ""},
	} {
		for version := int16(1); version <= 5; version++ {
			q := kmsg.NewPtrDescribeLogDirsRequest()
			q.Topics = tt.topics
			r := ask[*kmsg.DescribeLogDirsResponse](g, version, q)
			if len(r.Dirs) != 1 || r.Dirs[0].Dir != g.cfg.LogDir || r.Dirs[0].ErrorCode != 0 || r.ErrorCode != 0 {
				t.Fatalf("%s: %+v", tt.name, r)
			}
			var got string
			for _, topic := range r.Dirs[0].Topics {
				for _, p := range topic.Partitions {
					got += fmt.Sprintf("%s-%d:%d ", topic.Topic, p.Partition, p.Size)
					if p.OffsetLag != 0 || p.IsFuture {
						t.Errorf("%s: %+v", tt.name, p)
					}
				}
			}
			if got != tt.want {
				t.Errorf("%s: version %d: %s, want %s", tt.name, version, got, tt.want)
			}
			if d := r.Dirs[0]; version >= 4 && (d.UsableBytes > d.TotalBytes || d.TotalBytes == 0 || d.TotalBytes < -1) {
				t.Errorf("%d of %d bytes", d.UsableBytes, d.TotalBytes)
			}
		}
	}
	if total, usable := volume("/no/such/directory"); total != -1 || usable != -1 {
		t.Errorf("a directory that does not exist: %d %d", total, usable)
	}
}

func TestDescribeCluster(t *testing.T) {
	g := newAdminRig(t)
	g.must(metadata.RegisterBroker{NodeID: 2, DirectoryID: [16]byte{2}, Host: "other", Port: 7})
	for _, tt := range []struct {
		version  int16
		endpoint int8
		want     *kerr.Error
	}{
		{0, 1, nil}, {1, 1, nil}, {2, 1, nil},
		{1, 2, kerr.MismatchedEndpointType}, {2, 2, kerr.MismatchedEndpointType},
		{2, 0, kerr.UnsupportedEndpointType}, {2, 3, kerr.UnsupportedEndpointType}, {2, -1, kerr.UnsupportedEndpointType},
	} {
		q := kmsg.NewPtrDescribeClusterRequest()
		q.EndpointType = tt.endpoint
		r := ask[*kmsg.DescribeClusterResponse](g, tt.version, q)
		wantCode(t, fmt.Sprint(tt), r.ErrorCode, r.ErrorMessage, tt.want)
		if r.ClusterAuthorizedOperations != math.MinInt32 {
			t.Errorf("operations %d without being asked", r.ClusterAuthorizedOperations)
		}
		if tt.want != nil {
			continue
		}
		var got string
		for _, b := range r.Brokers {
			rack := "none"
			if b.Rack != nil {
				rack = *b.Rack
			}
			got += fmt.Sprintf("%d %s:%d %s %v; ", b.NodeID, b.Host, b.Port, rack, b.IsFenced)
		}
		if want := "1 advertised.plaintext:9092 r1 false; 2 other:7 none false; "; got != want || r.ControllerID != 1 || r.ClusterID != "test-cluster" {
			t.Errorf("%+v; brokers %s, want %s", r, got, want)
		}
	}
	q := kmsg.NewPtrDescribeClusterRequest()
	q.IncludeClusterAuthorizedOperations = true
	if r := ask[*kmsg.DescribeClusterResponse](g, 0, q); r.ClusterAuthorizedOperations != clusterOperations {
		t.Errorf("operations %d", r.ClusterAuthorizedOperations)
	}
}
