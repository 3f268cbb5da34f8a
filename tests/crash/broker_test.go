package crash

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// process is one life of the broker.
type process struct {
	cmd  *exec.Cmd
	log  *output
	done chan error
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// build compiles the broker once.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "varve")
	cmd := exec.Command("go", "build", "-o", bin, "../../cmd/varve")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// freePort returns a loopback port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs a broker and waits until it serves.
func start(t *testing.T, bin, dir string, port int, settings ...string) *process {
	t.Helper()
	args := []string{"serve", "--set", "log.dirs=" + dir,
		"--set", fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d", port), "--set", "http.listen=127.0.0.1:0"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	p := &process{cmd: exec.Command(bin, args...), log: &output{}, done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// The settings of this test are not the broker's.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VARVE_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	deadline := time.After(60 * time.Second)
	for !strings.Contains(p.log.String(), "is ready") {
		select {
		case err := <-p.done:
			t.Fatalf("the broker ended before it was ready: %v\n%s", err, p.log)
		case <-deadline:
			t.Fatalf("the broker is not ready\n%s", p.log)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return p
}

// kill ends the process as a crash does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// stop asks the process to drain and waits.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Fatalf("the broker did not end in order: %v\n%s", err, p.log)
		}
	case <-time.After(60 * time.Second):
		t.Fatalf("the broker does not end\n%s", p.log)
	}
}

func client(t *testing.T, port int, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", port)),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20 * time.Millisecond),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// readAll reads every record of a topic up to the log ends.
func readAll(t *testing.T, port int, topic string, partitions int, ends map[int32]int64) map[int32][]*kgo.Record {
	t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	// Control records are kept so that the end of a log that ends in a hole is
	// seen: a filler stands for it.
	cl := client(t, port, kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := map[int32][]*kgo.Record{}
	next := map[int32]int64{}
	complete := func() bool {
		for p, end := range ends {
			if next[p] < end {
				return false
			}
		}
		return true
	}
	for !complete() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("reading back hangs at %v of %v", next, ends)
		}
		fetches.EachError(func(topic string, p int32, err error) { t.Errorf("fetch %s-%d: %v", topic, p, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out[r.Partition] = append(out[r.Partition], r)
			}
			next[r.Partition] = r.Offset + 1
		})
	}
	return out
}
