package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// TestKafkaUsageErrors: what is wrong with a command line is said before any
// broker is asked.
func TestKafkaUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"topic nosuch", "create, list, describe, alter, trim, delete"},
		{"topic create", "TOPIC is missing"},
		{"topic create t --partitions 0", "neither above zero nor -1"},
		{"topic create t --replication-factor -2", "neither above zero nor -1"},
		{"topic create t --config x", "is not NAME=VALUE"},
		{"topic create t --config a=1 --config a=2", "twice"},
		{"topic list x", "unexpected argument"},
		{"topic list --output yaml", "text or json"},
		{"topic list --timeout 0s", "above zero"},
		{"topic list --brokers http://x", "no list of addresses"},
		{"topic alter t", "nothing to change"},
		{"topic alter t --partitions 0", "not above zero"},
		{"topic alter t --set a=1 --unset a", "that --set does not name"},
		{"topic trim t", "needs --offset"},
		{"topic trim t --offset x", "neither an offset nor end"},
		{"topic trim t --offset -1", "neither an offset nor end"},
		{"topic trim t --offset 1 --partition -3", "no partition"},
		{"produce", "TOPIC is missing"},
		{"produce t u", "unexpected argument"},
		{"produce t --format %q", "%q is not known"},
		{"produce t --format %k%v", "separates"},
		{"produce t --key-separator : --format %v", "contradict"},
		{"produce t --key-separator %k", "is no text"},
		{"produce t --key x --key-separator :", "contradict"},
		{"produce t --key x --format json", "contradict"},
		{"produce t --header x", "is not NAME=VALUE"},
		{"produce t --partition -3", "no partition"},
		{"produce t --partition 1 --format %p:%v", "contradict"},
		{"produce t --compression zip", "none, gzip, snappy, lz4 or zstd"},
		{"produce t --acks 3", "all, leader or none"},
		{"produce t --file nosuch.txt", "nosuch.txt"},
		{"produce t --file .", "is a directory"},
		{"consume", "TOPIC is missing"},
		{"consume t --from x", "--from \"x\" is no offset"},
		{"consume t --until @x", "no time"},
		{"consume t --count 0", "above zero"},
		{"consume t --group g --partition 1", "contradict"},
		{"consume t --group=", "is empty"},
		{"consume t --format %q", "%q is not known"},
		{"consume t --format %v -o json", "contradict"},
		{"consume t( --regex", "no regular expression"},
		{"consume t --isolation x", "read_uncommitted or read_committed"},
		{"group describe", "GROUP is missing"},
		{"group reset g", "either --to PLACE or --shift"},
		{"group reset g --to end --shift 3", "either --to PLACE or --shift"},
		{"group reset g --to x", "is no offset"},
		{"group reset g --to end --topic t:x", "is no partition"},
		{"group reset g --to end --topic :1", "names no topic"},
		{"group delete", "GROUP is missing"},
		{"tier status t u", "unexpected argument"},
		{"tier status t --orphans", "unexpected argument"},
		{"dump", "FILE is missing"},
		{"dump nosuch.log", "nosuch.log"},
		{"dump .", "is no file"},
		{"dump main.go", "is none of"},
		{"completion", "SHELL is missing"},
		{"completion tcsh", "bash, zsh, fish, powershell"},
	} {
		args := strings.Fields(c.args)
		if first := args[0]; !strings.Contains(c.args, "--brokers") && args[len(args)-1] != "nosuch" {
			switch first {
			case "topic", "produce", "consume", "group":
				args = append(args, "--brokers", "127.0.0.1:1")
			case "tier":
				args = append(args, "--http", "127.0.0.1:1")
			}
		}
		got := run("", args...)
		if got.err == nil || !strings.Contains(got.err.Error(), c.want) || exitCode(got.err) != exitUsage {
			t.Errorf("%s: error %v, exit code %d, want %q and %d", c.args, got.err, exitCode(got.err), c.want, exitUsage)
		}
		if got.err != nil && strings.Contains(got.err.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %q", c.args, got.err)
		}
		if got.out != "" {
			t.Errorf("%s: stdout has %q", c.args, got.out)
		}
	}
}

// keyboard is a terminal on which somebody types.
type keyboard struct{ io.Reader }

func (keyboard) Terminal() bool { return true }

// runTyping runs a command line on a terminal.
func runTyping(typed string, args ...string) result {
	var out, notes bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter, a.Reader = &out, &notes, keyboard{strings.NewReader(typed)}
	err := a.Run(permute(a, append([]string{"varve"}, args...)))
	return result{out.String(), notes.String(), err}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := run("", "completion", shell); got.err != nil || !strings.Contains(got.out, "varve") || got.notes != "" {
			t.Errorf("%s: %+v", shell, got)
		}
	}
	// What the scripts ask.
	for _, c := range []struct{ args, want, not string }{
		{"", "topic\n", "--brokers"}, {"topic", "create\n", "consume\n"}, {"topic create --par", "--partitions\n", "--config"},
	} {
		old := os.Args
		os.Args = append(append([]string{"varve"}, strings.Fields(c.args)...), "--generate-bash-completion")
		got := run("", os.Args[1:]...)
		os.Args = old
		if !strings.Contains(got.out, c.want) || strings.Contains(got.out, c.not) {
			t.Errorf("%q: %q, want %q", c.args, got.out, c.want)
		}
	}
}

func TestPlainText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1 << 60: "1048576.0 TiB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if count(1, "record") != "1 record" || count(2, "record") != "2 records" {
		t.Error("counts are wrong")
	}
}
