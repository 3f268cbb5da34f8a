package metadata

import (
	"reflect"
	"testing"
)

// generation returns the chain generation of a topic.
func generation(l *log, name string) uint64 {
	l.t.Helper()
	t, ok := l.core.Image().Topic(name)
	if !ok {
		l.t.Fatalf("no topic %s", name)
	}
	if byID, _ := l.core.Image().TopicByID(t.ID); byID != t {
		l.t.Fatalf("topic %s differs by name and by id", name)
	}
	return t.ChainGeneration
}

// W7: a topic's generation is the index of the last change, and never falls.
func TestChainGeneration(t *testing.T) {
	l := newLog(t)
	l.must(broker(1), topic("none", 1, 1), topic("one", 2, 1, KV{ChainConfig, "redact"}),
		topic("two", 3, 1, KV{ChainConfig, " validate , redact,"}), topic("other", 4, 1, KV{ChainConfig, "validate"}))
	want := map[string]uint64{"none": 0, "one": 3, "two": 4, "other": 5}
	steps := []struct {
		name   string
		cmd    Command
		raised []string
	}{
		{"new stage", PutStage{Name: "redact", Plugin: "pii", PluginVersion: "1"}, []string{"one", "two"}},
		{"same stage", PutStage{Name: "redact", Plugin: "pii", PluginVersion: "1"}, nil},
		{"other version", plugin("pii", "2", 1), nil},
		{"its version", plugin("pii", "1", 1), []string{"one", "two"}},
		{"same bytes", plugin("pii", "1", 1), nil},
		{"new digest", plugin("pii", "1", 2), []string{"one", "two"}},
		{"stage of any version", PutStage{Name: "validate", Plugin: "schema"}, []string{"other", "two"}},
		{"any version", plugin("schema", "7", 1), []string{"other", "two"}},
		{"another", plugin("schema", "8", 1), []string{"other", "two"}},
		{"one of two removed", DeletePlugin{Name: "schema", Version: "7"}, []string{"other", "two"}},
		{"unused stage", PutStage{Name: "idle", Plugin: "pii", PluginVersion: "1"}, nil},
		{"unused stage removed", DeleteStage{Name: "idle"}, nil},
		{"another setting", SetTopicConfigs{TopicID: topicID(2), Set: []KV{{"retention.ms", "1"}}}, nil},
		{"blanks", SetTopicConfigs{TopicID: topicID(2), Set: []KV{{ChainConfig, " redact"}}}, nil},
		{"order", SetTopicConfigs{TopicID: topicID(3), Set: []KV{{ChainConfig, "redact,validate"}}}, []string{"two"}},
		{"removed", SetTopicConfigs{TopicID: topicID(2), Remove: []string{ChainConfig}}, []string{"one"}},
		{"no longer named", PutStage{Name: "redact", Plugin: "pii", PluginVersion: "2"}, []string{"two"}},
		{"more partitions", CreatePartitions{TopicID: topicID(3), Total: 2}, nil},
	}
	for _, s := range steps {
		r := l.must(s.cmd)
		var raised []string
		for _, d := range r.Deltas {
			if c, ok := d.(ChainChanged); ok {
				raised = append(raised, c.Topic.Name)
				want[c.Topic.Name] = l.index
			}
		}
		if !reflect.DeepEqual(raised, s.raised) {
			t.Errorf("%s: raised %v, want %v", s.name, raised, s.raised)
		}
		for name, g := range want {
			if got := generation(l, name); got != g {
				t.Errorf("%s: generation of %s is %d, want %d", s.name, name, got, g)
			}
		}
	}
}

func TestPluginAndStageRefusals(t *testing.T) {
	l := newLog(t)
	l.must(broker(1))
	for _, c := range []PutPlugin{
		{Version: "1", Digest: [32]byte{1}, Size: 1},
		{Name: "p", Digest: [32]byte{1}, Size: 1},
		{Name: "p", Version: "1", Size: 1},
		{Name: "p", Version: "1", Digest: [32]byte{1}},
		{Name: "p", Version: "1", Digest: [32]byte{1}, Size: -1},
	} {
		l.refuse(ErrInvalidPlugin, c)
	}
	for _, name := range []string{"", "a,b", " a", "a b", "a\n", "é"} {
		l.refuse(ErrInvalidStage, PutStage{Name: name})
	}
	l.refuse(ErrInvalidStage, PutStage{Name: "s", PluginVersion: "1"})
	l.refuse(ErrUnknownPlugin, DeletePlugin{Name: "p", Version: "1"})
	l.refuse(ErrUnknownStage, DeleteStage{Name: "s"})

	l.must(plugin("p", "1", 1), plugin("p", "2", 1), plugin("q", "1", 1),
		PutStage{Name: "s", Plugin: "p", PluginVersion: "1"}, PutStage{Name: "any", Plugin: "p"},
		topic("t", 1, 1, KV{ChainConfig, "any"}))
	l.refuse(ErrPluginInUse, DeletePlugin{Name: "p", Version: "1"})
	l.refuse(ErrStageInUse, DeleteStage{Name: "any"})
	l.must(DeletePlugin{Name: "q", Version: "1"}, DeleteStage{Name: "s"}, DeletePlugin{Name: "p", Version: "1"})
	l.refuse(ErrPluginInUse, DeletePlugin{Name: "p", Version: "2"})
	r := l.must(DeleteTopic{TopicID: topicID(1)}, DeleteStage{Name: "any"}, DeletePlugin{Name: "p", Version: "2"})
	if d := r.Deltas[0].(PluginChanged); d.Plugin != nil || d.Previous.Version != "2" {
		t.Fatalf("delta %+v", d)
	}
	img := l.core.Image()
	if _, ok := img.Stage("any"); ok || img.plugins.size != 0 || img.stages.size != 0 {
		t.Fatal("something is left")
	}
}
