package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

func TestApiVersions(t *testing.T) {
	r := newDataRig(t)
	for v := int16(0); v <= 4; v++ {
		q := kmsg.NewPtrApiVersionsRequest()
		q.ClientSoftwareName, q.ClientSoftwareVersion = "rig", "1.0"
		resp := call[*kmsg.ApiVersionsResponse](r.dial(), v, q)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(apis()) {
			t.Fatalf("version %d: %+v", v, resp)
		}
		if !slices.IsSortedFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) }) {
			t.Error("not in the order of the keys")
		}
		for _, k := range resp.ApiKeys {
			least := k.MinVersion
			if k.ApiKey == produceKey {
				if least != 0 {
					t.Errorf("Produce is given from %d on", least)
				}
				least = 3
			}
			if !Known(k.ApiKey, least).Known || !Known(k.ApiKey, k.MaxVersion).Known || Known(k.ApiKey, k.MaxVersion+1).Known {
				t.Errorf("key %d is not served from %d to %d", k.ApiKey, least, k.MaxVersion)
			}
		}
	}
}

func TestApiVersionsOfUnknownVersion(t *testing.T) {
	r := newDataRig(t)
	c := r.dial()
	c.last = 9
	if _, err := c.nc.Write(rigFrame(apiVersionsKey, 99, 9, true, []byte{7, 7, 7})); err != nil {
		t.Fatal(err)
	}
	resp := &kmsg.ApiVersionsResponse{}
	c.receive(resp)
	if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != apiVersionsKey || resp.ApiKeys[0].MaxVersion != 4 {
		t.Fatalf("%+v", resp)
	}
	call[*kmsg.ApiVersionsResponse](c, 2, kmsg.NewPtrApiVersionsRequest()) // the connection goes on
}

func TestSoftwareNames(t *testing.T) {
	for name, want := range map[string]bool{
		"apache-kafka-java": true, "4.3.1": true, "a": true, "": false, "-a": false, "a-": false, ".": false, "a b": false, "ä": false,
		string(make([]byte, 300)): false,
	} {
		if validSoftware(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	r := newDataRig(t)
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "<script>", "1"
	if resp := call[*kmsg.ApiVersionsResponse](r.dial(), 3, q); resp.ErrorCode != kerr.InvalidRequest.Code {
		t.Fatalf("%+v", resp)
	}
}

func metadataRequest(names ...string) *kmsg.MetadataRequest {
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &n
		q.Topics = append(q.Topics, t)
	}
	return q
}

func TestMetadataInEveryVersion(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 3)
	r.createTopic("__internal", 1)
	c := r.dial()
	for v := int16(0); v <= 13; v++ {
		all := kmsg.NewPtrMetadataRequest()
		if v == 0 {
			all.Topics = []kmsg.MetadataRequestTopic{}
		}
		for _, q := range []*kmsg.MetadataRequest{all, metadataRequest("__internal", "events")} {
			resp := call[*kmsg.MetadataResponse](c, v, q)
			if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 || resp.Brokers[0].Host != "rig.test" || len(resp.Topics) != 2 {
				t.Fatalf("version %d: %+v", v, resp)
			}
			if v >= 1 && (resp.ControllerID != 1 || !resp.Topics[0].IsInternal || resp.Topics[1].IsInternal) || v >= 2 && *resp.ClusterID != "rig-cluster" {
				t.Errorf("version %d: %+v", v, resp)
			}
			topic := resp.Topics[1]
			if *topic.Topic != "events" || len(topic.Partitions) != 3 || v >= 10 && topic.TopicID != id || topic.AuthorizedOperations != -2147483648 {
				t.Errorf("version %d: %+v", v, topic)
			}
			for i, p := range topic.Partitions {
				if int(p.Partition) != i || p.ErrorCode != 0 || p.Leader != 1 || v >= 7 && p.LeaderEpoch < 1 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, p.Replicas) {
					t.Errorf("version %d: %+v", v, p)
				}
			}
		}
		if v >= 1 {
			if resp := call[*kmsg.MetadataResponse](c, v, metadataRequest()); len(resp.Topics) != 0 {
				t.Errorf("version %d: asked for no topic, told of %d", v, len(resp.Topics))
			}
		}
	}
}

func TestMetadataByID(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	ask := func(version int16, id ident.TopicID) kmsg.MetadataResponseTopic {
		q := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		q.Topics = append(q.Topics, topic)
		return call[*kmsg.MetadataResponse](c, version, q).Topics[0]
	}
	if got := ask(12, id); got.ErrorCode != 0 || *got.Topic != "events" {
		t.Errorf("%+v", got)
	}
	if got := ask(13, ident.TopicID{1}); got.ErrorCode != kerr.UnknownTopicID.Code || got.Topic != nil || got.TopicID != (ident.TopicID{1}) {
		t.Errorf("%+v", got)
	}
	if got := ask(11, id); got.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%+v", got)
	}
}

func TestMetadataCreatesTopics(t *testing.T) {
	r := newDataRig(t, "num.partitions=3")
	c := r.dial()
	q := metadataRequest("new", "new", "bad name", "__transaction_state", "other", "__consumer_offsets")
	q.AllowAutoTopicCreation = true
	resp := call[*kmsg.MetadataResponse](c, 9, q)
	var codes []int16
	for _, topic := range resp.Topics {
		codes = append(codes, topic.ErrorCode)
	}
	if want := []int16{0, 0, kerr.InvalidTopicException.Code, kerr.UnknownTopicOrPartition.Code, 0, 0}; !slices.Equal(codes, want) {
		t.Fatalf("%v, want %v", codes, want)
	}
	if len(resp.Topics[0].Partitions) != 3 || resp.Topics[0].Partitions[2].Leader != 1 {
		t.Errorf("%+v", resp.Topics[0])
	}
	if groups := resp.Topics[5]; len(groups.Partitions) != 50 || !groups.IsInternal {
		t.Errorf("%+v", groups)
	}
	q = metadataRequest("unwanted")
	if resp := call[*kmsg.MetadataResponse](c, 9, q); resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("%+v", resp.Topics[0])
	}
	for name, r := range map[string]*dataRig{"off": newDataRig(t, "auto.create.topics.enable=false"), "refused": newDataRig(t, "default.replication.factor=3")} {
		q := metadataRequest("new")
		q.AllowAutoTopicCreation = true
		want := kerr.UnknownTopicOrPartition
		if name == "refused" {
			want = kerr.InvalidReplicationFactor
		}
		if resp := call[*kmsg.MetadataResponse](r.dial(), 9, q); resp.Topics[0].ErrorCode != want.Code || r.Image().TopicCount() != 0 {
			t.Errorf("%s: %+v", name, resp.Topics[0])
		}
	}
}

func TestListOffsets(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	r.createTopic("empty", 1)
	r.createTopic("tiered", 1, "remote.storage.enable", "true")
	c := r.dial()
	start := rigParams().BaseTimestamp
	for i := range int64(4) { // timestamps start, start+1, start+100, …
		p := rigParams()
		p.BaseTimestamp += 100 * i
		call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, rigBatch(t, p, "a", "b")))
	}
	epoch := int32(r.Replica(ident.Partition{Topic: id}).Partition.LeaderEpoch())
	for _, e := range []struct {
		name      string
		version   int16
		topic     string
		timestamp int64
		known     int32
		offset    int64
		at        int64
		epoch     int32
		err       *kerr.Error
	}{
		{name: "latest", timestamp: -1, known: epoch, offset: 8, at: -1, epoch: epoch},
		{name: "earliest", timestamp: -2, known: -1, offset: 0, at: -1, epoch: epoch},
		{name: "highest", timestamp: -3, known: -1, offset: 7, at: start + 301, epoch: epoch},
		{name: "earliest local", timestamp: -4, known: -1, offset: 0, at: -1, epoch: epoch},
		{name: "latest tiered", timestamp: -5, known: -1, offset: -1, at: -1, epoch: -1},
		{name: "not yet tiered", timestamp: -6, known: -1, offset: -1, at: -1, epoch: -1},
		{name: "not yet tiered, with a tier", topic: "tiered", timestamp: -6, known: -1, offset: 0, at: -1, epoch: -1},
		{name: "by time", timestamp: start + 150, known: -1, offset: 4, at: start + 200, epoch: epoch},
		{name: "exact time", timestamp: start + 101, known: -1, offset: 3, at: start + 101, epoch: epoch},
		{name: "time 0", timestamp: 0, known: -1, offset: 0, at: start, epoch: epoch},
		{name: "too late", timestamp: start + 1000, known: -1, offset: -1, at: -1, epoch: -1},
		{name: "empty", topic: "empty", timestamp: -3, known: -1, offset: -1, at: -1, epoch: -1},
		{name: "unknown question", timestamp: -7, known: -1, err: kerr.UnsupportedVersion},
		{name: "smallest number", timestamp: -1 << 63, known: -1, err: kerr.UnsupportedVersion},
		{name: "question of a later version", version: 6, timestamp: -3, known: -1, err: kerr.UnsupportedVersion},
		{name: "old epoch", timestamp: -1, known: epoch - 1, err: kerr.FencedLeaderEpoch},
		{name: "new epoch", timestamp: 5, known: epoch + 1, err: kerr.UnknownLeaderEpoch},
		{name: "unknown topic", topic: "none", timestamp: -1, known: -1, err: kerr.UnknownTopicOrPartition},
	} {
		t.Run(e.name, func(t *testing.T) {
			if e.version == 0 {
				e.version = 11
			}
			if e.topic == "" {
				e.topic = "events"
			}
			resp := call[*kmsg.ListOffsetsResponse](c, e.version, listRequest(e.topic, e.timestamp, e.known))
			got := resp.Topics[0].Partitions[0]
			if e.err != nil {
				if got.ErrorCode != e.err.Code || got.Offset != -1 {
					t.Fatalf("%+v, want %v", got, e.err)
				}
				return
			}
			if e.topic == "tiered" {
				got.LeaderEpoch = -1
			}
			if got.ErrorCode != 0 || got.Offset != e.offset || got.Timestamp != e.at || got.LeaderEpoch != e.epoch {
				t.Fatalf("%+v, want %+v", got, e)
			}
		})
	}
	for v := int16(1); v <= 11; v++ {
		for _, ts := range []int64{-1, start} {
			if resp := call[*kmsg.ListOffsetsResponse](c, v, listRequest("events", ts, -1)); resp.Topics[0].Partitions[0].Offset != map[bool]int64{true: 8}[ts == -1] {
				t.Errorf("version %d: %+v", v, resp)
			}
		}
	}
}

func listRequest(topic string, timestamp int64, epoch int32) *kmsg.ListOffsetsRequest {
	q := kmsg.NewPtrListOffsetsRequest()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = timestamp, epoch
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	c := r.dial()
	call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, rigBatch(t, rigParams(), "a", "b")))
	epoch := int32(r.Replica(ident.Partition{Topic: id}).Partition.LeaderEpoch())
	for v := int16(2); v <= 4; v++ {
		for _, e := range []struct {
			name         string
			topic        string
			known, asked int32
			epoch        int32
			end          int64
			err          *kerr.Error
		}{
			{"current", "events", epoch, epoch, epoch, 2, nil},
			{"future", "events", -1, epoch + 1, -1, -1, nil},
			{"fenced", "events", epoch - 1, epoch, -1, -1, kerr.FencedLeaderEpoch},
			{"unknown", "events", epoch + 1, epoch, -1, -1, kerr.UnknownLeaderEpoch},
			{"no topic", "none", -1, epoch, -1, -1, kerr.UnknownTopicOrPartition},
		} {
			q := kmsg.NewPtrOffsetForLeaderEpochRequest()
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.CurrentLeaderEpoch, p.LeaderEpoch = e.known, e.asked
			topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
			topic.Topic, topic.Partitions = e.topic, append(topic.Partitions, p)
			q.Topics = append(q.Topics, topic)
			got := call[*kmsg.OffsetForLeaderEpochResponse](c, v, q).Topics[0].Partitions[0]
			want := int16(0)
			if e.err != nil {
				want = e.err.Code
			}
			if got.ErrorCode != want || got.LeaderEpoch != e.epoch || got.EndOffset != e.end {
				t.Errorf("version %d, %s: %+v", v, e.name, got)
			}
		}
	}
}

func TestInitProducerID(t *testing.T) {
	r := newDataRig(t)
	c := r.dial()
	last := int64(-1)
	for v := int16(0); v <= 5; v++ {
		resp := call[*kmsg.InitProducerIDResponse](c, v, kmsg.NewPtrInitProducerIDRequest())
		if resp.ErrorCode != 0 || resp.ProducerID <= last || resp.ProducerEpoch != 0 {
			t.Fatalf("version %d: %+v", v, resp)
		}
		last = resp.ProducerID
		for name, edit := range map[string]func(*kmsg.InitProducerIDRequest){
			"transaction":  func(q *kmsg.InitProducerIDRequest) { q.TransactionalID = new(string) },
			"id, no epoch": func(q *kmsg.InitProducerIDRequest) { q.ProducerID = 5 },
			"epoch, no id": func(q *kmsg.InitProducerIDRequest) { q.ProducerEpoch = 5 },
		} {
			if v < 3 && name != "transaction" {
				continue
			}
			q := kmsg.NewPtrInitProducerIDRequest()
			edit(q)
			if resp := call[*kmsg.InitProducerIDResponse](c, v, q); resp.ErrorCode != kerr.InvalidRequest.Code || resp.ProducerID != record.NoProducerID || resp.ProducerEpoch != -1 {
				t.Errorf("version %d, %s: %+v", v, name, resp)
			}
		}
	}
	q := kmsg.NewPtrInitProducerIDRequest()
	q.ProducerID, q.ProducerEpoch = last, 7
	if resp := call[*kmsg.InitProducerIDResponse](c, 3, q); resp.ErrorCode != 0 || resp.ProducerID <= last || resp.ProducerEpoch != 0 {
		t.Errorf("%+v", resp)
	}
}

// TestNothingIsServedBeforeTheBrokerIs: every answer makes clients try again
// (K4).
func TestNothingIsServedBeforeTheBrokerIs(t *testing.T) {
	r := newDataRig(t)
	id := r.createTopic("events", 1)
	r.starting.Store(true)
	c := r.dial()
	batch := rigBatch(t, rigParams(), "a")
	if out := produced(call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, batch))); out.ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Errorf("Produce: %+v", out)
	}
	if out := fetchedOf(call[*kmsg.FetchResponse](c, 13, rigFetch("events", id, 0, 0))); out.ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Errorf("Fetch: %+v", out)
	}
	if resp := call[*kmsg.InitProducerIDResponse](c, 4, kmsg.NewPtrInitProducerIDRequest()); resp.ErrorCode != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("InitProducerId: %+v", resp)
	}
	q := metadataRequest("unknown")
	q.AllowAutoTopicCreation = true
	if resp := call[*kmsg.MetadataResponse](c, 9, q); resp.Topics[0].ErrorCode != kerr.LeaderNotAvailable.Code || r.Image().TopicCount() != 1 {
		t.Errorf("Metadata: %+v", resp.Topics)
	}
	if resp := call[*kmsg.ApiVersionsResponse](c, 2, kmsg.NewPtrApiVersionsRequest()); resp.ErrorCode != 0 {
		t.Errorf("ApiVersions: %+v", resp)
	}
	r.starting.Store(false)
	if out := produced(call[*kmsg.ProduceResponse](c, 9, rigProduce("events", id, 0, batch))); out.ErrorCode != 0 || out.BaseOffset != 0 {
		t.Errorf("Produce, later: %+v", out)
	}
}
