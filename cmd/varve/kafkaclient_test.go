package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/urfave/cli/v2"
)

func TestBlame(t *testing.T) {
	for _, c := range []struct {
		what          string
		err           error
		message, want string
	}{
		{"topic a", kerr.UnknownTopicOrPartition, "", "topic a: does not exist (UNKNOWN_TOPIC_OR_PARTITION); `varve topic list` shows what there is, `varve topic create` makes a topic"},
		{"topic a", kerr.TopicAlreadyExists, "exists:\na", "topic a: exists:; a (TOPIC_ALREADY_EXISTS); --if-not-exists accepts that"},
		{"topic a", kerr.InvalidConfig, "x = 1: no", "topic a: x = 1: no (INVALID_CONFIG)"},
		{"", fmt.Errorf("wrapped: %w", kerr.InvalidRecord), "", "This record has failed the validation on the broker and hence been rejected (INVALID_RECORD)"},
		{"group g", errors.New("odd"), "", "group g: odd"},
	} {
		if got := blame(c.what, c.err, c.message).Error(); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	if got := kafkaCode(io.EOF); got != "" {
		t.Errorf("EOF has code %q", got)
	}
	if !answered(fmt.Errorf("x: %w", blame("", kerr.NonEmptyGroup, "")), "NON_EMPTY_GROUP") {
		t.Error("the code of a wrapped answer is lost")
	}
}

// TestRemediesAreCodes: a misspelt code would never be found.
func TestRemediesAreCodes(t *testing.T) {
	known := map[string]bool{}
	for code := range int16(200) {
		if e := kerr.TypedErrorForCode(code); e != nil {
			known[e.Message] = true
		}
	}
	for _, table := range []map[string]string{remedies, plain} {
		for code := range table {
			if !known[code] {
				t.Errorf("%s is no code", code)
			}
		}
	}
}

func TestBrokersOf(t *testing.T) {
	parse := func(args ...string) (seeds []string, err error) {
		a := &cli.App{Flags: kafkaFlags(), Action: func(c *cli.Context) error {
			seeds, err = brokersOf(c)
			return nil
		}, Writer: io.Discard}
		if e := a.Run(append([]string{"x"}, args...)); e != nil {
			t.Fatal(e)
		}
		return seeds, err
	}
	t.Setenv(brokersEnv, "")
	for in, want := range map[string]string{
		"a:1": "a:1", "a:1, b:2": "a:1 b:2", "a": "a:9092", ":1": "127.0.0.1:1", "[::1]:3": "[::1]:3", "::1": "[::1]:9092",
	} {
		if got, err := parse("--brokers", in); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a:1,", "http://a:1"} {
		if got, err := parse("--brokers", in); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	t.Setenv(brokersEnv, "c:3")
	if got, _ := parse(); len(got) != 1 || got[0] != "c:3" {
		t.Errorf("%s gives %q", brokersEnv, got)
	}
}

// TestNoBroker: whatever cannot be reached is one line with the remedy.
func TestNoBroker(t *testing.T) {
	http := httptest.NewServer(http.NotFoundHandler())
	defer http.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ends, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ends.Close()
	go func() {
		for {
			c, err := ends.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, c := range []struct {
		address, timeout string
		want             []string
	}{
		{closed.Addr().String(), "10s", []string{"no broker at " + closed.Addr().String(), "connection refused", "`varve serve`", "--brokers"}},
		{http.Listener.Addr().String(), "10s", []string{"does not answer like a broker", "--brokers"}},
		{silent.Addr().String(), "50ms", []string{"did not answer in time", "--timeout"}},
		{ends.Addr().String(), "10s", []string{"closes the connection", "--brokers"}},
	} {
		for _, args := range []string{"topic list", "topic create t", "produce t", "consume t", "group list"} {
			got := run("x\n", append(strings.Fields(args), "--brokers", c.address, "--timeout", c.timeout)...)
			if got.err == nil || exitCode(got.err) != exitFailed || got.out != "" {
				t.Errorf("%s of %s: %+v", args, c.address, got)
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(got.err.Error(), want) || strings.Contains(got.err.Error(), "\n") {
					t.Errorf("%s of %s: error %q lacks %q", args, c.address, got.err, want)
				}
			}
		}
	}
	k := &cluster{brokers: "a:1"}
	if err := k.explain(fmt.Errorf("x: %w", context.Canceled)); err != errInterrupted {
		t.Errorf("canceled: %v", err)
	}
}

func TestSoftwareVersion(t *testing.T) {
	old := version
	defer func() { version = old }()
	for in, want := range map[string]string{"dev": "dev", "v1.2-3-gabc": "v1.2-3-gabc", "a+b c": "a-b-c", "+": "dev"} {
		if version = in; softwareVersion() != want {
			t.Errorf("%q: %q, want %q", in, softwareVersion(), want)
		}
	}
}
