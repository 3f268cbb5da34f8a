package metadata

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

// log is a core together with the entries it was fed.
type log struct {
	t       testing.TB
	core    *Core
	index   uint64
	entries [][]byte
}

func newLog(t testing.TB) *log {
	core, err := New("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	return &log{t: t, core: core}
}

// apply feeds one command and returns what became of it.
func (l *log) apply(c Command) Result {
	l.t.Helper()
	data, err := c.Append(nil)
	if err != nil {
		l.t.Fatalf("append %#v: %v", c, err)
	}
	l.index++
	l.entries = append(l.entries, data)
	return l.core.Apply(l.index, 1, data)
}

// must feeds commands that have to succeed and returns the last result.
func (l *log) must(cmds ...Command) (r Result) {
	l.t.Helper()
	for _, c := range cmds {
		if r = l.apply(c); r.Err != nil {
			l.t.Fatalf("%#v: %v", c, r.Err)
		}
	}
	return r
}

// refuse feeds a command that has to be refused, and checks that nothing but
// the applied index changed.
func (l *log) refuse(want error, c Command) {
	l.t.Helper()
	before := l.core.Image()
	r := l.apply(c)
	if !errors.Is(r.Err, want) {
		l.t.Fatalf("%#v: %v, want %v", c, r.Err, want)
	}
	if errors.Is(r.Err, ErrDamaged) || l.core.Image() != before || len(r.Deltas) != 0 || r.Version != before.Version() {
		l.t.Fatalf("%#v: the refusal changed something: %+v", c, r)
	}
	if index, _ := l.core.Applied(); index != l.index {
		l.t.Fatalf("applied %d, want %d", index, l.index)
	}
}

func broker(id ident.NodeID) RegisterBroker {
	return RegisterBroker{NodeID: id, DirectoryID: [16]byte{1, byte(id)}, Host: fmt.Sprintf("b%d.example", id), Port: 9092, Rack: "r1"}
}

func topicID(n int) ident.TopicID { return ident.TopicID{0xaa, byte(n >> 16), byte(n >> 8), byte(n)} }

func topic(name string, n int, partitions int32, configs ...KV) CreateTopic {
	return CreateTopic{Name: name, TopicID: topicID(n), Partitions: partitions, ReplicationFactor: 1, Configs: configs, TimeMs: 1700000000000}
}

func plugin(name, version string, digest byte) PutPlugin {
	return PutPlugin{Name: name, Version: version, Digest: [32]byte{digest}, Size: 100, Spec: []byte(`{"hooks":["transform"]}`)}
}

// randomCommand draws a command from a small space of names, so that many are
// accepted and many refused.
func randomCommand(r *rand.Rand, version uint64) Command {
	var expect uint64
	if r.IntN(4) == 0 && version > 0 {
		expect = version - r.Uint64N(min(version, 20))
	}
	id := topicID(1 + r.IntN(30))
	name := fmt.Sprintf("t%c%d", "._-"[r.IntN(3)], r.IntN(20))
	stage := fmt.Sprintf("s%d", r.IntN(4))
	kv := KV{"retention.ms", fmt.Sprint(r.IntN(3))}
	if r.IntN(2) == 0 {
		kv = KV{ChainConfig, []string{"", stage, stage + ", s1"}[r.IntN(3)]}
	}
	switch r.IntN(13) {
	case 0, 1:
		return CreateTopic{ExpectVersion: expect, Name: name, TopicID: id, Partitions: int32(r.IntN(5)),
			ReplicationFactor: int16(r.IntN(4)), Configs: []KV{kv}, Internal: r.IntN(2) == 0, TimeMs: int64(r.IntN(1000))}
	case 2:
		return DeleteTopic{ExpectVersion: expect, TopicID: id}
	case 3:
		return CreatePartitions{ExpectVersion: expect, TopicID: id, Total: int32(r.IntN(8))}
	case 4:
		return SetTopicConfigs{ExpectVersion: expect, TopicID: id, Set: []KV{kv}, Remove: []string{"segment.bytes"}}
	case 5:
		return SetBrokerConfigs{ExpectVersion: expect, Set: []KV{kv}}
	case 6:
		return AllocateProducerIDs{ExpectVersion: expect, Count: int32(r.IntN(1000)), By: ident.NodeID(r.IntN(4))}
	case 7:
		return RegisterBroker{ExpectVersion: expect, NodeID: ident.NodeID(r.IntN(4)), DirectoryID: [16]byte{byte(r.IntN(3))}, Host: "h", Port: 9092}
	case 8:
		return SetFeature{ExpectVersion: expect, Name: stage, Level: int16(r.IntN(4) - 1)}
	case 9:
		return PutPlugin{ExpectVersion: expect, Name: "p", Version: stage, Digest: [32]byte{byte(r.IntN(3))}, Size: 1, Spec: []byte(name)}
	case 10:
		return DeletePlugin{ExpectVersion: expect, Name: "p", Version: stage}
	case 11:
		return PutStage{ExpectVersion: expect, Name: stage, Plugin: "p", PluginVersion: []string{"", "s1"}[r.IntN(2)], Spec: []byte{byte(r.IntN(2))}}
	}
	return DeleteStage{ExpectVersion: expect, Name: stage}
}
