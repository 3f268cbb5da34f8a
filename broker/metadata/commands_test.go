package metadata

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

var update = flag.Bool("update", false, "rewrite golden files")

// samples holds one command of every kind, with every field set.
func samples() []Command {
	return []Command{
		CreateTopic{ExpectVersion: 7, Name: "orders", TopicID: topicID(1), Partitions: 2, ReplicationFactor: 2,
			Assignments: [][]ident.NodeID{{1, 2}, {2, 1}}, Configs: []KV{{"retention.ms", "-1"}, {ChainConfig, "redact"}},
			Internal: true, TimeMs: 1700000000000},
		DeleteTopic{ExpectVersion: 8, TopicID: topicID(2), Tiered: true, TimeMs: 1700000000001},
		CreatePartitions{ExpectVersion: 9, TopicID: topicID(3), Total: 12, Assignments: [][]ident.NodeID{{3}}},
		SetTopicConfigs{ExpectVersion: 10, TopicID: topicID(4), Set: []KV{{"a", ""}, {"b", "é"}}, Remove: []string{"c"}},
		SetBrokerConfigs{ExpectVersion: 11, Set: []KV{{"log.retention.ms", "1"}}, Remove: []string{"x", "y"}},
		AllocateProducerIDs{ExpectVersion: 12, Count: 1000, By: 3},
		RegisterBroker{ExpectVersion: 13, NodeID: 3, DirectoryID: [16]byte{1, 2, 3}, Host: "h", Port: 9092, Rack: "eu-1"},
		SetFeature{ExpectVersion: 14, Name: "transaction.version", Level: 2},
		PutPlugin{ExpectVersion: 15, Name: "redact", Version: "1.2.0", Digest: [32]byte{9}, Size: 4096, Spec: []byte("{}")},
		DeletePlugin{ExpectVersion: 16, Name: "redact", Version: "1.2.0"},
		PutStage{ExpectVersion: 17, Name: "redact-email", Plugin: "redact", PluginVersion: "1.2.0", Spec: []byte(`{"p":1}`)},
		DeleteStage{ExpectVersion: 18, Name: "redact-email"},
		SetLimits{ExpectVersion: 19, Limits: Limits{Topics: 1, PartitionsPerTopic: 2, Partitions: 3}},
		ForgetTopic{ExpectVersion: 20, TopicID: topicID(5)},
	}
}

func encoded(t testing.TB, c Command) []byte {
	t.Helper()
	data, err := c.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCommandsRoundTrip(t *testing.T) {
	kinds := map[Kind]bool{}
	for _, c := range samples() {
		kinds[c.Kind()] = true
		prefixed, err := c.Append([]byte("head"))
		if err != nil || !bytes.HasPrefix(prefixed, []byte("head")) {
			t.Fatalf("%T: %v %q", c, err, prefixed)
		}
		data := prefixed[4:]
		got, err := Decode(data)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("decode %T: %v\n got %+v\nwant %+v", c, err, got, c)
		}
		for n := range data {
			if _, err := Decode(data[:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%T cut to %d of %d bytes: %v", c, n, len(data), err)
			}
		}
		if _, err := Decode(append(bytes.Clone(data), 0)); !errors.Is(err, ErrTrailing) {
			t.Fatalf("%T with a byte behind: %v", c, err)
		}
		clear(data)
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("%T shares memory with its encoding", c)
		}
	}
	if len(kinds) != int(KindForgetTopic) {
		t.Fatalf("samples of %d kinds, want %d", len(kinds), KindForgetTopic)
	}
}

func TestCommandsGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range samples() {
		fmt.Fprintf(&b, "%d %s\n", c.Kind(), hex.EncodeToString(encoded(t, c)))
	}
	golden(t, "testdata/commands_v1.txt", []byte(b.String()))
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: the bytes changed; a new layout needs a new version", path)
	}
}

func TestDecodeRefuses(t *testing.T) {
	head := func(kind byte) []byte { return []byte{commandVersion, kind, 0, 0, 0, 0, 0, 0, 0, 0} }
	create := encoded(t, CreateTopic{Name: "t"})
	internal := len(head(1)) + 2 + 1 + 16 + 4 + 2
	lying := bytes.Clone(create)
	copy(lying[internal+1+8:], []byte{0xff, 0xff, 0x0f, 0})
	boolean := bytes.Clone(create)
	boolean[internal] = 2
	for _, tc := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrTruncated},
		{"version 0", append([]byte{0}, head(1)[1:]...), ErrVersion},
		{"version 2", append([]byte{2}, head(1)[1:]...), ErrVersion},
		{"kind 0", head(0), ErrKind},
		{"unknown kind", head(byte(KindForgetTopic) + 1), ErrKind},
		{"boolean of 2", boolean, ErrValue},
		{"count without elements", lying, ErrTruncated},
		{"count above its bound", append(head(byte(KindSetBrokerConfigs)), 0xff, 0xff, 0xff, 0xff), ErrBound},
		{"name above its bound", append(head(byte(KindDeleteStage)), 0, 1), ErrBound},
		{"too large", make([]byte, MaxCommandBytes+1), ErrBound},
	} {
		if c, err := Decode(tc.data); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v %v, want %v", tc.name, c, err, tc.want)
		}
	}
}

func TestAppendRefusesWhatDecodeWould(t *testing.T) {
	long := strings.Repeat("x", math.MaxUint16+2)
	var many []KV
	for i := range 20 {
		many = append(many, KV{fmt.Sprint(i), strings.Repeat("v", MaxConfigValue)})
	}
	for name, c := range map[string]Command{
		"topic name":   CreateTopic{Name: long},
		"config name":  SetTopicConfigs{Set: []KV{{long, ""}}},
		"config value": SetTopicConfigs{Set: []KV{{"a", long}}},
		"configs":      SetBrokerConfigs{Set: make([]KV, MaxConfigs+1)},
		"removals":     SetBrokerConfigs{Remove: make([]string, MaxConfigs+1)},
		"replicas":     CreatePartitions{Assignments: [][]ident.NodeID{make([]ident.NodeID, MaxReplicas+1)}},
		"whole":        SetTopicConfigs{Set: many},
		"spec":         PutStage{Spec: make([]byte, MaxSpec+1)},
		"host":         RegisterBroker{Host: long},
	} {
		if got, err := c.Append([]byte("x")); !errors.Is(err, ErrBound) || string(got) != "x" {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		f.Add(encoded(f, c))
	}
	f.Add([]byte{commandVersion, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		again, err := c.Append(nil)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%#v: %v\n  in %x\n out %x", c, err, data, again)
		}
		// Whatever decodes is applied or refused, never damage.
		l := newLog(t)
		l.must(broker(1), broker(2), topic("t", 1, 1))
		if r := l.apply(c); errors.Is(r.Err, ErrDamaged) {
			t.Fatal(r.Err)
		}
	})
}
