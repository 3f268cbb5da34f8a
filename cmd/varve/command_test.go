package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// result is what a command printed and returned.
type result struct {
	out, notes string
	err        error
}

// run runs a command line as main does.
func run(stdin string, args ...string) result {
	var out, notes bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter, a.Reader = &out, &notes, strings.NewReader(stdin)
	err := a.Run(permute(a, append([]string{"varve"}, args...)))
	return result{out.String(), notes.String(), err}
}

// server answers requests from a table and keeps what it was asked.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string // "METHOD path" to "status body"
	asked   []string          // "METHOD path body"
}

func newServer(t *testing.T, answers map[string]string) *server {
	t.Helper()
	s := &server{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Method + " " + r.URL.RequestURI()
	s.asked = append(s.asked, strings.TrimSpace(key+" "+string(body)))
	status, text, _ := strings.Cut(s.answers[key], " ")
	code := map[string]int{"200": 200, "302": 302, "400": 400, "404": 404, "409": 409, "503": 503}[status]
	if code == 0 {
		code, text = http.StatusTeapot, "no such request in the table: "+key
	}
	w.WriteHeader(code)
	io.WriteString(w, text)
}

// took returns what was asked, and forgets it.
func (s *server) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asked
	s.asked = nil
	return a
}

func TestPermute(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"varve", "varve"},
		{"varve plugin", "varve plugin"},
		{"varve nosuch --x a", "varve nosuch --x a"},
		{"varve plugin attach mask --topic t", "varve plugin attach --topic t -- mask"},
		{"varve plugin attach --topic t mask", "varve plugin attach --topic t -- mask"},
		{"varve plugin attach mask --topic=t --sensitive --stage s", "varve plugin attach --topic=t --sensitive --stage s -- mask"},
		{"varve plugin attach mask -o json --topic", "varve plugin attach -o json --topic -- mask"},
		{"varve chain set t a -- --b -c", "varve chain set -- t a --b -c"},
		{"varve stage set s --file -", "varve stage set --file - -- s"},
		{"varve plugin push - --nosuch x", "varve plugin push --nosuch -- - x"},
		{"varve plugin list --output json", "varve plugin list --output json"},
		{"varve chain show t --generate-bash-completion", "varve chain show t --generate-bash-completion"},
	} {
		if got := permute(app(), strings.Fields(c.in)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %s", c.in, got, c.want)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	long := strings.Repeat("t", 200)
	for _, c := range []struct{ args, want string }{
		{"plugin nosuch", "push, attach, detach"},
		{"plugin push", "FILE is missing"},
		{"plugin push nosuch.wasm", ".wasm file"},
		{"plugin push command_test.go", "not a WebAssembly module"},
		{"plugin attach --topic t", "PLUGIN[@VERSION] is missing"},
		{"plugin attach mask", "needs --topic"},
		{"plugin attach mask@ --topic t", "NAME@VERSION"},
		{"plugin attach mask --topic " + long, "--stage"},
		{"plugin attach mask --topic t --stage a,b", "write 1 to 128 letters"},
		{"plugin detach s", "needs --topic"},
		{"plugin delete mask", "mask@VERSION"},
		{"plugin list x", `unexpected argument "x"`},
		{"plugin list --nosuch", "nosuch"},
		{"plugin list --output yaml", "text or json"},
		{"plugin list --http ftp://x", "write it like http://127.0.0.1:9644"},
		{"plugin list --timeout 0s", "above zero"},
		{"stage set", "NAME is missing"},
		{"stage set s", "--file SPEC.json"},
		{"stage set s --plugin p", "needs --hook"},
		{"stage set s --hook transform", "needs --plugin"},
		{"stage set s --plugin p@1 --version 2 --hook transform", "contradict"},
		{"stage set s --file x --hook transform", "leave out --hook"},
		{"stage set s --file nosuch.json", "nosuch.json"},
		{"stage set s --file -", "is empty"},
		{"stage set .. --plugin p --hook transform", `cannot be named ".."`},
		{"stage set s --plugin p --hook frob", "write transform or validate"},
		{"stage set s --plugin p --hook transform --on-failure frob", "reject, dead-letter, drop, pass"},
		{"stage set s --plugin p --hook transform --on-failure pass --sensitive", "must not pass"},
		{"stage set s --plugin p --hook transform --parameters [1]", "not a JSON object"},
		{"stage set s --plugin p --hook transform --parameters null", "not a JSON object"},
		{"stage set s --plugin p --hook transform --parameters @nosuch.json", "nosuch.json"},
		{"stage set s --plugin p --hook transform --breaker-ratio 2", "breaker.ratio"},
		{"stage set s --plugin p --hook transform --dead-letter-topic __x", "dead_letter.topic"},
		{"chain set t", "STAGE is missing"},
		{"chain set t a,b", "write 1 to 128 letters"},
		{"chain show", "TOPIC is missing"},
		{"chain clear ..", "TOPIC"},
		{"docs", "NAME is missing"},
		{"docs nosuch", "api-versions, cli, metrics, settings"},
	} {
		// An address that nothing may be asked of.
		args := strings.Fields(c.args)
		if c.args != "docs" && c.args != "docs nosuch" && !strings.Contains(c.args, "--http") && c.args != "plugin nosuch" {
			args = append(args, "--http", "http://127.0.0.1:1")
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

// TestHelpShowsExamples: every command that takes arguments or flags of its own
// shows how it is used.
func TestHelpShowsExamples(t *testing.T) {
	err := eachCommand(app().Commands, []string{"varve"}, func(path []string) error {
		var c *cli.Command
		commands := app().Commands
		for _, name := range path[1:] {
			c = findCommand(commands, name)
			commands = c.Subcommands
		}
		if len(c.Subcommands) == 0 && c.Name != "version" && !strings.Contains(c.Description, "Examples:\n   "+strings.Join(path, " ")) {
			t.Errorf("%s has no examples", strings.Join(path, " "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTransportErrors(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	other := newServer(t, map[string]string{"GET /v1/plugins": "200 <html>"})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		name, address string
		timeout       time.Duration
		want          []string
	}{
		{"refused", closed.URL, time.Minute, []string{closed.URL, "connection refused", "`varve serve`", "--http"}},
		{"no scheme", strings.TrimPrefix(closed.URL, "http://"), time.Minute, []string{closed.URL, "connection refused"}},
		{"timeout", hangs.URL, 20 * time.Millisecond, []string{hangs.URL, "did not answer in time", "--timeout"}},
		{"not a broker", other.URL, time.Minute, []string{other.URL, "does not answer like a varve broker"}},
		{"other paths", other.URL + "/nosuch", time.Minute, []string{"418 I'm a teapot, not like a varve broker"}},
	} {
		got := run("", "plugin", "list", "--http", c.address, "--timeout", c.timeout.String())
		if got.err == nil || exitCode(got.err) != exitFailed || got.out != "" {
			t.Errorf("%s: %+v", c.name, got)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(got.err.Error(), want) {
				t.Errorf("%s: error %q lacks %q", c.name, got.err, want)
			}
		}
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"a":             "a",
		"a\nb\r\n\nc\n": "a; b; c",
		"\x1b[31mred":   "[31mred",
		"a\x00b\tc":     "a b c",
		"é\u202eb":      "é b",
		"bad\xffbyte":   "bad\uFFFDbyte",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
