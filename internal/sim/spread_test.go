package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A run may not overlap another in one process, so that seeds are spread over
// processes: this test's binary again, one for each core, each for a few seeds
// at a time.

// chunk is how many seeds a process runs.
const chunk = 20

// childEnv tells the binary that it is such a process, and where its seeds
// begin and how many they are.
const childEnv = "VARVE_SIM_CHILD"

// childMark begins the line that a process answers with.
const childMark = "sim-answer "

// tally is what became of some seeds.
type tally struct {
	stats  Stats
	failed []Result
	Runs   [6]int           // by number of nodes
	Took   [6]time.Duration // of a core
}

// answer is a tally on its way between processes.
type answer struct {
	Stats  Stats
	Failed []Result
	Runs   [6]int
	Took   [6]time.Duration
}

func (t *tally) run(seed uint64, without []string) {
	start := time.Now()
	r := runPlain(seed, without, nil)
	t.stats.add(r.Stats)
	t.Runs[r.Nodes]++
	t.Took[r.Nodes] += time.Since(start)
	if r.Violation != nil {
		t.failed = append(t.failed, r)
	}
}

// runAll runs seeds in this process, and fails if goroutines are left of them
// (R2).
func (t *tally) runAll(first, seeds uint64, without []string) {
	before := runtime.NumGoroutine()
	for seed := first; seed < first+seeds; seed++ {
		if chosen(seed) {
			t.run(seed, without)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.failed = append(t.failed, Result{Seed: first, Violation: &Violation{"R2", fmt.Sprintf("%d goroutines more than before", after-before)}})
	}
}

func (t *tally) add(a answer) {
	t.stats.add(a.Stats)
	t.failed = append(t.failed, a.Failed...)
	for i := range a.Runs {
		t.Runs[i] += a.Runs[i]
		t.Took[i] += a.Took[i]
	}
}

// byNodes tells how many runs had how many nodes, and what one took.
func (t *tally) byNodes() string {
	out := ""
	for n, runs := range t.Runs {
		if runs > 0 {
			out += fmt.Sprintf("%d nodes: %d seeds, %v each on one core; ", n, runs, (t.Took[n] / time.Duration(runs)).Round(time.Millisecond))
		}
	}
	return out
}

// spread runs seeds on all cores.
func spread(t *testing.T, first, seeds uint64, without []string) *tally {
	total := &tally{}
	workers := runtime.GOMAXPROCS(0)
	if seeds <= chunk || workers == 1 {
		total.runAll(first, seeds, without)
		return total
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := first
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				from := next
				n := min(chunk, first+seeds-from)
				next += n
				mu.Unlock()
				if n == 0 {
					return
				}
				a, err := inProcess(t, from, n, without)
				mu.Lock()
				total.add(a)
				progress(from-first, n, seeds, a.Failed)
				if err != nil {
					t.Errorf("seeds %d to %d: %v", from, from+n-1, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

// progressEach is after how many seeds a long run says how far it is.
const progressEach = 1000

// progress says at once which of n more seeds failed, and now and then how many
// of all are done.
func progress(before, n, all uint64, failed []Result) {
	for _, r := range failed {
		fmt.Printf("seed %d breaks %v\n", r.Seed, r.Violation)
	}
	if after := before + n; after/progressEach > before/progressEach {
		fmt.Printf("about %d of %d seeds are done\n", after, all)
	}
}

// inProcess runs seeds in a process of their own.
func inProcess(t *testing.T, first, seeds uint64, without []string) (answer, error) {
	var a answer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.timeout=0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", childEnv, first, seeds), "VARVE_SIM_WITHOUT="+strings.Join(without, ","))
	out, err := cmd.CombinedOutput()
	for line := range bytes.Lines(out) {
		if rest, ok := bytes.CutPrefix(line, []byte(childMark)); ok {
			return a, json.Unmarshal(rest, &a)
		}
	}
	return a, fmt.Errorf("the process says nothing (%w):\n%s", err, out)
}

// TestChild runs the seeds that the environment names, for TestSeeds.
func TestChild(t *testing.T) {
	var first, seeds uint64
	if n, _ := fmt.Sscanf(os.Getenv(childEnv), "%d,%d", &first, &seeds); n != 2 {
		return
	}
	total := &tally{}
	total.runAll(first, seeds, switchedOff())
	b, err := json.Marshal(answer{total.stats, total.failed, total.Runs, total.Took})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", childMark, b)
}

func (s *Stats) add(o Stats) { addNumbers(reflect.ValueOf(s).Elem(), reflect.ValueOf(o)) }

// addNumbers adds every number of one struct to that of another.
func addNumbers(to, from reflect.Value) {
	for i := range to.NumField() {
		if f := to.Field(i); f.Kind() == reflect.Struct {
			addNumbers(f, from.Field(i))
		} else {
			f.SetInt(f.Int() + from.Field(i).Int())
		}
	}
}
