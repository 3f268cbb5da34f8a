package broker

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a broker may take to start or to end. A test that runs
// into it fails in any case.
const patience = 60 * time.Second

// Build compiles the broker into dir, with build tags or other arguments of go
// build, and returns the binary's path.
func Build(dir string, arguments ...string) (string, error) {
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("build the broker: where its source is cannot be told")
	}
	bin := filepath.Join(dir, "varve")
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", bin}, arguments, []string{"./cmd/varve"})...)
	cmd.Dir = filepath.Join(filepath.Dir(self), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, out)
	}
	return bin, nil
}

// Options say how to start a broker.
type Options struct {
	Bin string // from Build
	Dir string // data directory
	// Port is the port to listen on; 0 takes a free one.
	Port     int
	Settings []string // NAME=VALUE
	// Env is added to the environment, which else has no VARVE_*.
	Env []string
}

// Process is one life of a broker.
type Process struct {
	options Options
	cmd     *exec.Cmd
	log     *output
	done    chan struct{} // closed when the process is gone
	err     error         // how it ended; set before done is closed
}

// Start runs a broker and waits until it serves.
func Start(t testing.TB, o Options) *Process {
	t.Helper()
	p := Launch(t, o)
	if !p.AwaitReady(t) {
		t.Fatalf("the broker ended before it was ready: %v\n%s", p.err, p.Log())
	}
	return p
}

// Launch runs a broker and does not wait for it.
func Launch(t testing.TB, o Options) *Process {
	t.Helper()
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	args := []string{"serve", "--set", "log.dirs=" + o.Dir, "--set", "http.listen=127.0.0.1:0",
		"--set", fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d", o.Port)}
	for _, s := range o.Settings {
		args = append(args, "--set", s)
	}
	p := &Process{options: o, cmd: exec.Command(o.Bin, args...), log: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VARVE_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, o.Env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// AwaitReady waits until the broker serves, and returns false if it ended
// before that.
func (p *Process) AwaitReady(t testing.TB) bool {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(p.Log(), "is ready") {
		select {
		case <-p.done:
			return false
		case <-deadline:
			t.Fatalf("the broker is not ready\n%s", p.Log())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return true
}

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.done }

// State waits until the process is gone and says how it ended.
func (p *Process) State() *os.ProcessState {
	<-p.done
	return p.cmd.ProcessState
}

// Again starts a broker with the options of one that has ended.
func (p *Process) Again(t testing.TB) *Process {
	t.Helper()
	return Start(t, p.options)
}

// Options returns what the broker was started with.
func (p *Process) Options() Options { return p.options }

// Addr returns where clients connect to.
func (p *Process) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.options.Port) }

// PID returns the id of the broker's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// HTTP returns the base of the URLs that the broker serves, http://host:port, as
// it printed it.
func (p *Process) HTTP(t testing.TB) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		_, rest, found := strings.Cut(p.Log(), "  HTTP     ")
		if url, _, whole := strings.Cut(rest, "\n"); found && whole {
			return url
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not say where it serves HTTP\n%s", p.Log())
		}
	}
}

// Log returns what the broker has printed so far.
func (p *Process) Log() string { return p.log.String() }

// Kill ends the process as a crash does, and waits. One that was killed already
// is left at that.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	err := p.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill the broker: %v\n%s", err, p.Log())
	}
	if status, ok := p.State().Sys().(syscall.WaitStatus); ok && status.Signal() != syscall.SIGKILL {
		t.Fatalf("kill the broker: it ended with %v before\n%s", p.err, p.Log())
	}
}

// Stop asks the process to drain and waits until it has ended in order.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop the broker: %v\n%s", err, p.Log())
	}
	select {
	case <-p.done:
		if p.err != nil {
			t.Fatalf("the broker did not end in order: %v\n%s", p.err, p.Log())
		}
	case <-time.After(patience):
		t.Fatalf("the broker does not end\n%s", p.Log())
	}
}

// Ports that the systems the broker is built for do not give to outgoing
// connections unless told to.
const (
	lowestPort  = 20000
	highestPort = 32000
)

var ports struct {
	sync.Mutex
	next int
}

// FreePort returns a loopback port that nobody listens on (B3).
func FreePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	const span = highestPort - lowestPort
	if ports.next == 0 {
		// Test binaries that run at the same time start apart.
		ports.next = os.Getpid() * 37
	}
	for range span {
		ports.next++
		port := lowestPort + ports.next%span
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatalf("no port from %d to %d is free", lowestPort, highestPort)
	return 0
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
