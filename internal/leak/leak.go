package leak

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/internal/invariant"
)

// patience is how long what ends may take to do so, on a machine with other
// work to do. A run that leaves nothing does not wait.
const patience = 15 * time.Second

// ignored are goroutines of libraries that run for as long as the process, with
// why nobody could end them.
var ignored = []goleak.Option{}

// An Option changes what a package is judged by.
type Option func(*options)

type options struct {
	ignored  []goleak.Option
	teardown []func()
}

// Ignore excuses goroutines that have a function anywhere in their stack, and
// says why they cannot end. The name has its import path.
func Ignore(function, why string) Option {
	return func(o *options) {
		if why == "" {
			panic("leak: a goroutine is ignored for a reason")
		}
		o.ignored = append(o.ignored, goleak.IgnoreAnyFunction(function))
	}
}

// Teardown runs f behind the tests, before anything is judged.
func Teardown(f func()) Option {
	return func(o *options) { o.teardown = append(o.teardown, f) }
}

// Main runs the tests of a package, judges what they leave, and ends the
// process.
func Main(m interface{ Run() int }, opts ...Option) { os.Exit(run(m, os.Stderr, patience, opts)) }

// run is Main without the end of the process.
func run(m interface{ Run() int }, out io.Writer, patience time.Duration, opts []Option) int {
	o := options{ignored: append([]goleak.Option{goleak.IgnoreCurrent()}, ignored...)}
	for _, opt := range opts {
		opt(&o)
	}
	before := descriptors()
	code := m.Run()
	for _, f := range o.teardown {
		f()
	}
	if code != 0 || fuzzing() {
		return code
	}
	left := remaining(&o, before)
	for end := time.Now().Add(patience); left != "" && time.Now().Before(end); left = remaining(&o, before) {
		time.Sleep(5 * time.Millisecond)
	}
	if left != "" {
		fmt.Fprintf(out, "leak: the tests passed and left this behind:\n%s\n", left)
		return 1
	}
	return code
}

// remaining says what is left at this moment, "" for nothing.
func remaining(o *options, before map[string]string) string {
	var all []string
	all = append(all, opened(before, descriptors())...)
	all = append(all, invariant.Outstanding()...)
	if err := goleak.Find(o.ignored...); err != nil {
		all = append(all, err.Error())
	}
	return strings.Join(all, "\n")
}

// fuzzing reports whether this process fuzzes.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" && f.Value.String() != "false" {
			return true
		}
	}
	return false
}
