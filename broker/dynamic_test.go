package broker

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/internal/vfs"
)

// What is altered for all brokers holds at once, for topics that exist, and
// after a restart.
func TestAlteredBrokerSettingsHold(t *testing.T) {
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var level atomic.Value
	start := func() (*running, *kgo.Client) {
		r := runWith(t, Components{FS: fs, SetLogLevel: func(l string) { level.Store(l) }}, settings(t))
		return r, r.client(t, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1<<20))
	}
	r, cl := start()
	big := func() error {
		return cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: make([]byte, 5000)}).FirstErr()
	}
	if err := big(); err != nil {
		t.Fatal(err)
	}
	alter := func(name, value string) {
		t.Helper()
		res, err := kadm.NewClient(cl).AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	alter("message.max.bytes", "1000")
	alter("log.level", "debug")
	for range 2 {
		if err := big(); !errors.Is(err, kerr.MessageTooLarge) {
			t.Fatalf("produced 5000 bytes with message.max.bytes=1000: %v", err)
		}
		if level.Load() != "debug" {
			t.Fatalf("log level %v", level.Load())
		}
		level.Store("")
		r.end(t)
		r, cl = start()
	}
	r.end(t)
}
