package leak

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/invariant"
)

func TestMain(m *testing.M) { Main(m) }

// tests stands for the tests of a package.
type tests func() int

func (f tests) Run() int { return f() }

// judged runs what leaves something and returns the result and what was said.
func judged(f func(), opts ...Option) (int, string) {
	var out strings.Builder
	code := run(tests(func() int { f(); return 0 }), &out, 30*time.Millisecond, opts)
	return code, out.String()
}

func TestNothingLeft(t *testing.T) {
	if code, out := judged(func() {}); code != 0 || out != "" {
		t.Errorf("%d, %q", code, out)
	}
}

func forgotten(stop chan struct{}, ended chan struct{}) {
	defer close(ended)
	<-stop
}

func TestGoroutineIsFound(t *testing.T) {
	stop, ended := make(chan struct{}), make(chan struct{})
	code, out := judged(func() { go forgotten(stop, ended) })
	if code != 1 || !strings.Contains(out, "forgotten") {
		t.Errorf("%d, %q", code, out)
	}
	close(stop)
	<-ended
	stop, ended = make(chan struct{}), make(chan struct{})
	ignore := Ignore("github.com/varvelog/varve/internal/leak.forgotten", "a test")
	if code, out := judged(func() { go forgotten(stop, ended) }, ignore); code != 0 {
		t.Errorf("%d, %q", code, out)
	}
	close(stop)
	<-ended
	// One that ends a little later is none.
	stop, ended = make(chan struct{}), make(chan struct{})
	var out2 strings.Builder
	code = run(tests(func() int {
		go forgotten(stop, ended)
		time.AfterFunc(20*time.Millisecond, func() { close(stop) })
		return 0
	}), &out2, patience, nil)
	if code != 0 {
		t.Errorf("%d, %q", code, out2.String())
	}
}

func TestDescriptorIsFound(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // there is no list of them
	}
	name := filepath.Join(t.TempDir(), "left open")
	var f *os.File
	code, out := judged(func() {
		var err error
		if f, err = os.Create(name); err != nil {
			t.Error(err)
		}
	})
	defer f.Close()
	if code != 1 || !strings.Contains(out, name) {
		t.Errorf("%d, %q", code, out)
	}
	if code, out := judged(func() {}); code != 0 {
		t.Errorf("what was open before: %d, %q", code, out)
	}
}

func TestGaugeIsFound(t *testing.T) {
	g := invariant.NewGauge("buffers of a test")
	code, out := judged(func() { g.Add(2) })
	g.Add(-2)
	if found := code == 1 && strings.Contains(out, "buffers of a test: 2"); found != invariant.Enabled {
		t.Errorf("%d, %q with Enabled = %v", code, out, invariant.Enabled)
	}
}

func TestFailedTestsAreNotJudged(t *testing.T) {
	stop, ended := make(chan struct{}), make(chan struct{})
	var out strings.Builder
	code := run(tests(func() int { go forgotten(stop, ended); return 3 }), &out, 0, nil)
	if code != 3 || out.String() != "" {
		t.Errorf("%d, %q", code, out.String())
	}
	close(stop)
	<-ended
}

func TestTeardownComesFirst(t *testing.T) {
	stop, ended := make(chan struct{}), make(chan struct{})
	code, out := judged(func() { go forgotten(stop, ended) }, Teardown(func() { close(stop); <-ended }))
	if code != 0 {
		t.Errorf("%d, %q", code, out)
	}
}
