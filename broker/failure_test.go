package broker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/internal/vfs"
)

var errGone = errors.New("the disk is gone")

// failing runs a broker whose log cannot be synced while ill is set.
func failing(t *testing.T, set ...string) (r *running, ill *atomic.Bool) {
	t.Helper()
	ill = &atomic.Bool{}
	return run(t, vfs.NewFaulty(vfs.NewMem(vfs.MemOptions{}), func(op vfs.Op) error {
		if ill.Load() && op.Kind == vfs.OpSync && strings.HasPrefix(op.Name, "wal/") {
			return errGone
		}
		return nil
	}), set...), ill
}

// once is a client that does not try again what it cannot know the fate of.
func (r *running) once(t *testing.T) *kgo.Client {
	t.Helper()
	return r.client(t, kgo.RecordRetries(0), kgo.RequestRetries(0), kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(10*time.Second))
}

func produceOne(t *testing.T, cl *kgo.Client, value string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr()
}

// health is what /healthz says.
func (r *running) health(t *testing.T) (int, string) {
	t.Helper()
	_, address := r.b.Addresses()
	resp, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A sync that fails ends a broker that is to exit, and answers nobody.
func TestFailedSyncEndsTheBroker(t *testing.T) {
	r, ill := failing(t, "disk.failure.action=exit")
	cl := r.once(t)
	if err := produceOne(t, cl, "before"); err != nil {
		t.Fatal(err)
	}
	ill.Store(true)
	if err := produceOne(t, cl, "after"); err == nil {
		t.Fatal("acknowledged by a disk that is gone")
	}
	if err := <-r.done; !errors.Is(err, errGone) {
		t.Fatal(err)
	}
}

// After a sync that failed, produce and whatever else writes is refused with an
// error that clients retry, for as long as the broker runs and also when the disk
// is well again; what is stored is read, and the broker says what is wrong.
func TestFailedSyncLeavesReads(t *testing.T) {
	r, ill := failing(t)
	cl := r.once(t)
	if err := produceOne(t, cl, "before"); err != nil {
		t.Fatal(err)
	}
	if code, text := r.health(t); code != http.StatusOK {
		t.Fatal(code, text)
	}
	ill.Store(true)
	for i := range 5 {
		var ke *kerr.Error
		if err := produceOne(t, cl, "after"); !errors.As(err, &ke) || ke != kerr.KafkaStorageError || !ke.Retriable {
			t.Fatal(err)
		}
		if i == 1 {
			ill.Store(false)
		}
	}
	adm := kadm.NewClient(cl)
	if resp, err := adm.CommitOffsets(t.Context(), "g", kadm.OffsetsFromRecords(kgo.Record{Topic: "t"})); err == nil && resp.Error() == nil {
		t.Error("an offset was committed")
	}
	if resp, err := adm.CreateTopic(t.Context(), 1, 1, nil, "u"); err == nil && resp.Err == nil {
		t.Error("a topic was created")
	}
	if code, text := r.health(t); code != http.StatusServiceUnavailable || !strings.Contains(text, errGone.Error()) {
		t.Error(code, text)
	}
	reader := r.client(t, kgo.ConsumeTopics("t"))
	var got []string
	reader.PollFetches(t.Context()).EachRecord(func(k *kgo.Record) { got = append(got, string(k.Value)) })
	if strings.Join(got, " ") != "before" {
		t.Error(got)
	}
	r.stop()
	if err := <-r.done; !errors.Is(err, errGone) {
		t.Errorf("the broker that failed ended with %v", err)
	}
}
