package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/varvelog/varve/tests/broker"
)

const (
	diskTopic      = "disk"
	diskPartitions = 2
	mib            = 1 << 20
)

// ailing is a broker whose disk does what the test says.
type ailing struct {
	t       *testing.T
	control string
	o       broker.Options
	p       *broker.Process
}

// ail starts a broker on an empty directory of a disk without trouble.
func ail(t *testing.T, settings ...string) *ailing {
	t.Helper()
	a := &ailing{t: t, control: filepath.Join(t.TempDir(), "control")}
	a.o = broker.Options{
		Bin: taggedBroker(t), Dir: t.TempDir(), Port: broker.FreePort(t), Env: []string{"VARVE_FAILPOINT_CONTROL=" + a.control},
		Settings: append([]string{
			"wal.bytes.max=32MiB", "wal.file.bytes=8MiB", "log.segment.bytes=1MiB", "disk.reserve.bytes=8MiB",
			"log.retention.check.interval.ms=200", "log.level=warn",
		}, settings...),
	}
	a.p = broker.Start(t, a.o)
	return a
}

// set tells the disk what to do, and waits until it does.
func (a *ailing) set(text string) {
	a.t.Helper()
	temp := a.control + ".new"
	if err := errors.Join(os.WriteFile(temp, []byte(text), 0o600), os.Rename(temp, a.control)); err != nil {
		a.t.Fatal(err)
	}
	a.until("the disk obeys", func() bool {
		seen, _ := os.ReadFile(a.control + ".seen")
		return string(seen) == text
	})
}

func (a *ailing) until(what string, done func() bool) {
	a.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			a.t.Fatalf("%s: not within a minute\n%s", what, a.p.Log())
		}
	}
}

// produce sends one record in one request, without any retry, and returns what
// the broker said; the error is that of the connection.
func (a *ailing) produce(partition int32) (said *kerr.Error, message string, err error) {
	cl := client(a.t, a.o.Port, kgo.RequestRetries(0), kgo.MaxVersions(kversion.V3_0_0())) // which names topics
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 25_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = diskTopic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, oneRecord(strange)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, "", err
	}
	got := resp.Topics[0].Partitions[0]
	if got.ErrorMessage != nil {
		message = *got.ErrorMessage
	}
	var ke *kerr.Error
	errors.As(kerr.ErrorForCode(got.ErrorCode), &ke)
	return ke, message, nil
}

// stopped waits until the broker has given up, which it must with exit code 1
// and a message that holds each of the words, and have acknowledged nothing.
func (a *ailing) stopped(words ...string) {
	a.t.Helper()
	a.until("the broker ends", func() bool {
		select {
		case <-a.p.Ended():
			return true
		default:
			return false
		}
	})
	last := lastLine(a.p.Log())
	if code := a.p.State().ExitCode(); code != 1 {
		a.t.Errorf("the broker ended with %d\n%s", code, a.p.Log())
	}
	for _, w := range words {
		if !strings.Contains(last, w) {
			a.t.Errorf("the broker's last words do not say %q: %s", w, last)
		}
	}
	a.t.Log(last)
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}

// again starts the broker on a disk without trouble.
func (a *ailing) again() {
	a.t.Helper()
	if err := os.Remove(a.control); err != nil {
		a.t.Fatal(err)
	}
	a.p = broker.Start(a.t, a.o)
}

// judge reads everything back and compares it with what was acknowledged and not
// deleted since.
func (a *ailing) judge(acks []acked) {
	a.t.Helper()
	records := readAll(a.t, a.o.Port, diskTopic, diskPartitions, logEnds(a.t, a.o.Port, diskTopic, diskPartitions))
	for p, rs := range records {
		var own []*kgo.Record
		for _, r := range rs {
			if string(r.Value) != strange {
				own = append(own, r)
			}
		}
		records[p] = own
	}
	// Asked last: retention goes on while everything is read.
	starts := askOffsets(a.t, a.o.Port, diskTopic, diskPartitions, -2)
	var kept []acked
	for _, k := range acks {
		if k.offset >= starts[k.partition] {
			kept = append(kept, k)
		}
	}
	judge(a.t, kept, records)
}

// strange is the value of a record that is in no load.
const strange = "strange"

// TestDiskFull fills the disk. Produce is refused with an error that clients
// retry, reads go on, also after a restart, retention frees space although the
// disk is full, and produce goes on without anybody's help (R3).
func TestDiskFull(t *testing.T) {
	a := ail(t)
	a.set(fmt.Sprintf("capacity %d", 90*mib))
	create(t, a.o.Port, diskTopic, diskPartitions)
	l := startLoad(t, a.o.Port, diskTopic, diskPartitions, numbered)
	a.until("the disk is full", func() bool {
		said, message, err := a.produce(0)
		if err != nil {
			t.Fatalf("%v\n%s", err, a.p.Log())
		}
		if said == nil {
			return false
		}
		if said != kerr.NotEnoughReplicas || !said.Retriable || !strings.Contains(message, "space") {
			t.Fatalf("produce on a full disk: %v, %q", said, message)
		}
		t.Log(said.Message, message)
		return true
	})
	a.readable()
	a.p.Kill(t) // and it starts on a full disk
	a.p = broker.Start(t, a.o)
	a.readable()
	retain(t, a.o.Port, diskTopic, 8*mib)
	a.until("produce goes on", func() bool { said, _, err := a.produce(1); return said == nil && err == nil })
	before := l.acknowledged()
	a.until("clients go on", func() bool { return l.acknowledged() > before+1000 })
	acks := l.finish(t)
	a.judge(acks)
	a.p.Kill(t)
	a.again()
	a.judge(acks)
	a.p.Stop(t)
}

// readable reads all that is there.
func (a *ailing) readable() {
	a.t.Helper()
	ends := logEnds(a.t, a.o.Port, diskTopic, diskPartitions)
	n := 0
	for _, rs := range readAll(a.t, a.o.Port, diskTopic, diskPartitions, ends) {
		n += len(rs)
	}
	a.t.Logf("%d records read up to %v", n, ends)
}

// retain limits what a topic keeps.
func retain(t *testing.T, port int, topic string, bytes int) {
	t.Helper()
	cl := client(t, port)
	defer cl.Close()
	value := fmt.Sprint(bytes)
	resp, err := kadm.NewClient(cl).AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.bytes", Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resp {
		if r.Err != nil {
			t.Fatalf("alter retention on a full disk: %v", r.Err)
		}
	}
}

// refuses checks that a broker whose disk failed takes nothing: clients are told
// to try again.
func (a *ailing) refuses() {
	a.t.Helper()
	for i := range 6 {
		said, message, err := a.produce(int32(i % diskPartitions))
		if err != nil || said != kerr.KafkaStorageError || !said.Retriable {
			a.t.Fatalf("produce on a disk that failed: %v %q %v\n%s", said, message, err, a.p.Log())
		}
	}
}

// failed waits until the broker says that its disk failed, checks that it reads
// and takes nothing, also once the disk is well again, and ends it.
func (a *ailing) failed(words ...string) {
	a.t.Helper()
	a.until("the broker says that its disk failed", func() bool {
		code, text := a.health()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the disk failed")
	})
	a.refuses()
	a.readable()
	a.set("")
	a.refuses() // what a failed sync left in doubt is never built on
	a.readable()
	if err := syscall.Kill(a.p.PID(), syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	a.stopped(words...)
}

func (a *ailing) health() (int, string) {
	a.t.Helper()
	resp, err := http.Get(a.p.HTTP(a.t) + "/healthz")
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestDiskReadOnly makes the disk read-only. What is there is read; from the
// first write that fails on produce is refused, with an error that clients
// retry, and works again after a restart on a disk that can be written.
func TestDiskReadOnly(t *testing.T) {
	a := ail(t)
	create(t, a.o.Port, diskTopic, diskPartitions)
	acks := a.filled(4000)
	a.p.Stop(t) // so that nothing is left to be written behind the last record
	a.p = broker.Start(t, a.o)
	a.judge(acks)
	if said, _, err := a.produce(0); said != nil || err != nil {
		t.Fatal(said, err)
	}
	a.set("readonly")
	a.judge(acks)
	said, message, err := a.produce(0)
	if err != nil || said == nil || !said.Retriable {
		t.Errorf("produce on a read-only disk: %v %q %v", said, message, err)
	}
	t.Log(said, message, err)
	a.judge(acks)
	a.failed("read-only file system", "wal")
	a.again()
	a.judge(acks)
	a.p.Stop(t)
}

// TestDiskSyncFails fails one kind of operation for good, under load, and loses
// what a failed sync did not cover. Nothing that depended on it was or is ever
// acknowledged, what is stored is read, and the broker says why.
func TestDiskSyncFails(t *testing.T) {
	for _, c := range []struct{ trouble, setting string }{
		{"fail sync wal", "checkpoint.sync=auto"},
		{"fail write wal", "checkpoint.sync=auto"},
		{"fail syncall all", "checkpoint.sync=auto"},
		{"fail sync segment", "checkpoint.sync=files"},
		{"fail sync index", "checkpoint.sync=files"},
		{"fail sync wal", "disk.failure.action=exit"},
	} {
		t.Run(strings.ReplaceAll(c.trouble, " ", "-")+"/"+c.setting, func(t *testing.T) {
			a := ail(t, c.setting)
			create(t, a.o.Port, diskTopic, diskPartitions)
			l := startLoad(t, a.o.Port, diskTopic, diskPartitions, numbered)
			a.until("something is there", func() bool { return l.acknowledged() > 1000 })
			a.set(c.trouble)
			if strings.HasSuffix(c.setting, "=exit") {
				a.stopped("input/output error")
			} else {
				a.failed("input/output error")
			}
			a.again()
			a.until("clients go on", func() bool { said, _, err := a.produce(1); return said == nil && err == nil })
			acks := l.finish(t)
			a.judge(acks)
			a.p.Stop(t)
		})
	}
}

// filled produces for as long as it takes and returns what was acknowledged.
func (a *ailing) filled(records int) []acked {
	a.t.Helper()
	l := startLoad(a.t, a.o.Port, diskTopic, diskPartitions, numbered)
	a.until("something is there", func() bool { return l.acknowledged() > records })
	return l.finish(a.t)
}
