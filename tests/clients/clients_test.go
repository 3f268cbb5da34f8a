//go:build clients

package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/leak"
	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/clients/scenario"
)

// A client is a program that runs scenarios, and what it cannot say.
type client struct {
	name    string
	command []string
	// fit makes a record one that this client can send; nil: it can send all.
	fit func(scenario.Record) scenario.Record
	// groups: headers are read grouped by their names.
	groups bool
	// untimed: it does not tell which timestamps records got that were sent
	// without one.
	untimed bool
	// ownTime: it tells the timestamps it sent where the broker set others.
	ownTime bool
	// mute: it does not tell how far it has read.
	mute bool
	// without are results of scenarios admin and groups that it has no call for.
	without []string
	// groupless: it cannot say what it commits, nor administer groups.
	groupless bool
}

const cache = "../../.cache/clients/"

var clients = []client{
	{name: "franz", command: []string{cache + "bin/franz"}, ownTime: true, mute: true},
	{name: "sarama", command: []string{cache + "bin/sarama"}, untimed: true, mute: true},
	{name: "kcat", command: []string{"python3", "kcat/client.py"}, fit: fitKcat, untimed: true,
		without: []string{"again", "partitions", "retention", "altered", "raised", "earliest", "cluster", "left", "gone"}, groupless: true},
	{name: "python", command: []string{cache + "venv/bin/python", "python/client.py"}, without: []string{"cleared"}},
	{name: "kafkajs", command: []string{"node", "kafkajs/client.js"}, fit: fitKafkajs, groups: true, untimed: true,
		without: []string{"altered", "cleared"}},
	{name: "java", command: append([]string{"java"}, append(jvm, "varve.Client")...)},
}

// jvm are the arguments of a Java program that lives for a few seconds.
var jvm = []string{
	"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
	"-cp", "java/target/clients-0.jar:java/target/lib/*",
}

// patience is how long one program may run. A test that runs into it fails.
const patience = 5 * time.Minute

var files atomic.Int64

// run runs a scenario and decodes its results.
func run[R any](t testing.TB, c client, addr, name string, params any) R {
	t.Helper()
	r, err := try[R](c, t.TempDir(), addr, name, params)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// try runs a scenario from any goroutine. It writes the parameters into dir.
func try[R any](c client, dir, addr, name string, params any) (R, error) {
	return tryWith[R](context.Background(), c, dir, addr, name, params)
}

// tryWith is try with a program that is killed when the context ends.
func tryWith[R any](ctx context.Context, c client, dir, addr, name string, params any) (R, error) {
	var r R
	raw, err := json.Marshal(params)
	if err != nil {
		return r, err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.json", c.name, name, files.Add(1)))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return r, err
	}
	args := append(append([]string{}, c.command[1:]...), addr, name, file)
	out, err := executeWith(ctx, nil, c.command[0], args...)
	if err != nil {
		return r, fmt.Errorf("%s, scenario %s: %w", c.name, name, err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("%s, scenario %s: %w in %q", c.name, name, err, abridge(out))
	}
	return r, nil
}

// execute runs a program and returns what it printed.
func execute(program string, args ...string) ([]byte, error) {
	return executeWith(context.Background(), nil, program, args...)
}

// executeWith is execute with a standard input, until a context ends.
func executeWith(ctx context.Context, stdin io.Reader, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// What the program runs itself ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that inherits the pipes must not keep the test waiting.
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdin = stdin
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w (%v)\n%s\n%s", err, ctx.Err(), abridge(stderr.Bytes()), abridge(stdout.Bytes()))
	}
	return stdout.Bytes(), nil
}

// abridge keeps the end of a long text.
func abridge(b []byte) string {
	const most = 4000
	s := strings.TrimSpace(string(b))
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// binary is the broker's binary.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "varve-clients-")
	if err == nil {
		binary, err = broker.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leak.Main(m, leak.Teardown(func() { _ = os.RemoveAll(dir) }))
}

// start starts a broker for one test.
func start(t *testing.T, settings ...string) *broker.Process {
	t.Helper()
	b := broker.Start(t, broker.Options{Bin: binary, Dir: t.TempDir(), Settings: settings})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the broker printed:\n%s", abridge([]byte(b.Log())))
		}
	})
	return b
}

// franz is the client that tests use where any would do.
func franz() client { return clients[0] }
