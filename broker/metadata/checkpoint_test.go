package metadata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

// sampleCore holds objects of every kind.
func sampleCore(t testing.TB) *Core {
	l := newLog(t)
	l.must(broker(1), broker(2), plugin("redact", "1.0.0", 1), PutStage{Name: "s", Plugin: "redact", PluginVersion: "1.0.0", Spec: []byte("x")},
		SetFeature{Name: "metadata.version", Level: 1}, SetBrokerConfigs{Set: []KV{{"log.retention.ms", "1"}}},
		SetLimits{Limits: Limits{100, 50, 200}}, AllocateProducerIDs{Count: 1000, By: 2},
		topic("gone", 1, 1), DeleteTopic{TopicID: topicID(1)},
		topic("cold", 4, 1), DeleteTopic{TopicID: topicID(4), Tiered: true, TimeMs: 9},
		topic("swept", 5, 1), DeleteTopic{TopicID: topicID(5), Tiered: true, TimeMs: 9}, ForgetTopic{TopicID: topicID(5)})
	c := topic("orders", 2, 2, KV{ChainConfig, "s"}, KV{"cleanup.policy", "compact"})
	c.ReplicationFactor = 2
	internal := topic("__consumer_offsets", 3, 1)
	internal.Internal = true
	l.must(c, internal)
	l.must(PutStage{Name: "z"}, DeleteStage{Name: "z"}, plugin("z", "1", 1), DeletePlugin{Name: "z", Version: "1"},
		SetFeature{Name: "z", Level: 1}, SetFeature{Name: "z"})
	l.refuse(ErrTopicExists, c)
	l.refuse(ErrTopicIDInUse, topic("again", 4, 1)) // its objects are still there
	l.refuse(ErrUnknownTopic, ForgetTopic{TopicID: topicID(5)})
	return l.core
}

func TestCheckpointGolden(t *testing.T) {
	golden(t, "testdata/image_v1.bin", sampleCore(t).Marshal())
}

// How many partitions a topic was made with does not change when it gets more, nor
// over a checkpoint.
func TestFirstPartitions(t *testing.T) {
	l := newLog(t)
	c := topic("t", 1, 2)
	l.must(broker(1), c, CreatePartitions{TopicID: c.TopicID, Total: 5})
	for _, core := range []*Core{l.core, restored(t, l.core.Marshal())} {
		if got, _ := core.Image().TopicByID(c.TopicID); got.FirstPartitions != 2 || len(got.Partitions) != 5 {
			t.Fatalf("made with %d, has %d", got.FirstPartitions, len(got.Partitions))
		}
	}
}

func restored(t testing.TB, data []byte) *Core {
	t.Helper()
	core, _ := New("")
	if err := core.Restore(data); err != nil {
		t.Fatal(err)
	}
	return core
}

func TestCheckpointRoundTrip(t *testing.T) {
	core := sampleCore(t)
	data := core.Marshal()
	for _, id := range []string{"", "cluster-1"} {
		got, _ := New(id)
		if err := got.Restore(data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Marshal(), data) {
			t.Fatal("other bytes")
		}
		index, term := got.Applied()
		if index != 26 || term != 1 || got.Image().Version() != 23 || got.Image().ClusterID() != "cluster-1" {
			t.Fatalf("applied %d %d, version %d", index, term, got.Image().Version())
		}
		orders, ok := got.Image().Topic("orders")
		if !ok || len(orders.Chain()) != 1 || orders.ChainGeneration != 16 {
			t.Fatalf("orders %+v", orders)
		}
	}
}

// resealed returns a checkpoint with its length and checksum made right again.
func resealed(data []byte) []byte {
	if len(data) < checkpointHead+checkpointTail {
		return data
	}
	data = bytes.Clone(data)
	end := len(data) - checkpointTail
	binary.LittleEndian.PutUint64(data[12:], uint64(end-checkpointHead))
	binary.LittleEndian.PutUint32(data[end:], crc32.Checksum(data[:end], castagnoli))
	return data
}

func TestRestoreRefusesDamage(t *testing.T) {
	data := sampleCore(t).Marshal()
	core := sampleCore(t)
	refuse := func(what string, b []byte, want error) {
		t.Helper()
		before := core.Image()
		err := core.Restore(b)
		if !errors.Is(err, ErrCheckpoint) || want != nil && !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
		if core.Image() != before {
			t.Fatalf("%s: the image changed", what)
		}
	}
	for n := range data {
		refuse("cut", data[:n], nil)
	}
	for i := range data {
		b := bytes.Clone(data)
		b[i] ^= 0x10
		refuse("flipped", b, nil)
	}
	for n := checkpointHead; n < len(data)-checkpointTail; n++ {
		refuse("cut and resealed", resealed(append(bytes.Clone(data[:n]), 0, 0, 0, 0)), nil)
	}
	refuse("behind the body", resealed(append(bytes.Clone(data), 0)), ErrTrailing)
	for _, v := range []byte{checkpointVersion - 1, checkpointVersion + 1} {
		version := bytes.Clone(data)
		version[8] = v
		refuse("version", resealed(version), ErrVersion)
	}
	flags := bytes.Clone(data)
	flags[10] = 1
	refuse("flags", resealed(flags), ErrValue)
	refuse("magic", append([]byte("x"), data[1:]...), ErrMagic)
	other, _ := New("cluster-2")
	refuse("cluster", other.Marshal(), ErrClusterID)
}

// TestRestoreRefusesInconsistentImages encodes images that no history leads to.
func TestRestoreRefusesInconsistentImages(t *testing.T) {
	base := func() (*Image, *Topic) {
		img := *sampleCore(t).Image()
		orders, _ := img.Topic("orders")
		copied := *orders
		copied.Partitions = []PartitionInfo{
			{Group: orders.Partitions[0].Group, Replicas: append([]Replica(nil), orders.Partitions[0].Replicas...)},
			{Group: orders.Partitions[1].Group, Replicas: append([]Replica(nil), orders.Partitions[1].Replicas...)},
		}
		img.byName = img.byName.with("orders", &copied)
		return &img, &copied
	}
	for name, f := range map[string]func(img *Image, orders *Topic){
		"version in the future":   func(img *Image, _ *Topic) { img.version = 99 },
		"topic from the future":   func(_ *Image, o *Topic) { o.Version = 24 },
		"chain from the future":   func(_ *Image, o *Topic) { o.ChainGeneration = 24 },
		"chain of generation 0":   func(_ *Image, o *Topic) { o.ChainGeneration = 0 },
		"group counter too low":   func(img *Image, _ *Topic) { img.nextGroup = 6 },
		"group 0":                 func(_ *Image, o *Topic) { o.Partitions[0].Group = 0 },
		"one group twice":         func(_ *Image, o *Topic) { o.Partitions[0].Group = o.Partitions[1].Group },
		"replica counter too low": func(img *Image, _ *Topic) { img.nextReplica = 18 },
		"one replica twice":       func(_ *Image, o *Topic) { o.Partitions[0].Replicas[0].ID = o.Partitions[1].Replicas[0].ID },
		"one broker twice":        func(_ *Image, o *Topic) { o.Partitions[0].Replicas[0].Node = o.Partitions[0].Replicas[1].Node },
		"unknown broker":          func(_ *Image, o *Topic) { o.Partitions[0].Replicas[0].Node = 7 },
		"no replicas":             func(_ *Image, o *Topic) { o.Partitions[0].Replicas = nil },
		"no partitions":           func(_ *Image, o *Topic) { o.Partitions = nil },
		"id of another topic":     func(_ *Image, o *Topic) { o.ID = topicID(3) },
		"zero topic id":           func(_ *Image, o *Topic) { o.ID = ident.TopicID{} },
		"topics out of order":     func(_ *Image, o *Topic) { o.Name = "AAA" },
		"invalid topic name":      func(_ *Image, o *Topic) { o.Name = "orders/" },
		"colliding topic name": func(img *Image, o *Topic) {
			internal, _ := img.Topic("__consumer_offsets")
			renamed := *internal
			renamed.Name, o.Name = "__consumer.offsets", "__consumer_offsets"
			img.byName = img.byName.with("__consumer_offsets", &renamed)
		},
		"group counter at its end": func(img *Image, _ *Topic) { img.nextGroup = 1 << 63 },
		"settings out of order":    func(_ *Image, o *Topic) { o.Configs = Configs{{"b", ""}, {"a", ""}} },
		"setting without name":     func(_ *Image, o *Topic) { o.Configs = Configs{{"", ""}} },
		"limit of 0":               func(img *Image, _ *Topic) { img.limits.Topics = 0 },
		"negative producer id":     func(img *Image, _ *Topic) { img.nextProducerID = -1 },
		"broker without directory": func(img *Image, _ *Topic) { img.brokers = img.brokers.with(3, &Broker{NodeID: 3, Host: "h", Port: 1}) },
		"feature of level 0":       func(img *Image, _ *Topic) { img.features = img.features.with("z", &Feature{Name: "z"}) },
		"plugin without digest": func(img *Image, _ *Topic) {
			img.plugins = img.plugins.with(pluginKey{"z", "1"}, &Plugin{Name: "z", Version: "1", Size: 1})
		},
		"deleted topic that is there": func(img *Image, o *Topic) { img.dropped = img.dropped.with(o.ID, &DroppedTopic{ID: o.ID, Name: "x"}) },
		"deleted topic without a name": func(img *Image, _ *Topic) {
			img.dropped = img.dropped.with(topicID(9), &DroppedTopic{ID: topicID(9)})
		},
		"deleted topic without an id": func(img *Image, _ *Topic) {
			img.dropped = img.dropped.with(ident.TopicID{}, &DroppedTopic{Name: "x"})
		},
		"stage that no chain names": func(img *Image, _ *Topic) { img.stages = img.stages.with("z", &Stage{Name: "z,"}) },
	} {
		seal := func(img *Image) []byte {
			source, _ := New("")
			source.applied, source.term = 26, 1
			source.image.Store(img)
			return source.Marshal()
		}
		core, _ := New("")
		img, orders := base()
		if err := core.Restore(seal(img)); err != nil {
			t.Fatalf("%s: the base: %v", name, err)
		}
		f(img, orders)
		if err := core.Restore(seal(img)); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(sampleCore(f).Marshal())
	empty, _ := New("")
	f.Add(empty.Marshal())
	l := newLog(f)
	l.must(broker(0))
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		l.apply(randomCommand(r, l.core.Image().Version()))
	}
	f.Add(l.core.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		data = resealed(data)
		core, _ := New("")
		if err := core.Restore(data); err != nil {
			if !errors.Is(err, ErrCheckpoint) {
				t.Fatal(err)
			}
			return
		}
		again := core.Marshal()
		if binary.LittleEndian.Uint16(data[8:]) == 1 {
			data = restored(t, again).Marshal() // it is written as the present version
		}
		if !bytes.Equal(again, data) {
			t.Fatal("accepted, but marshalled to other bytes")
		}
		index, term := core.Applied()
		if index < 1<<63 {
			core.Apply(index+1, term, encoded(t, CreatePartitions{TopicID: topicID(2), Total: 5}))
		}
	})
}
