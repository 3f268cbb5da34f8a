package crash

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/internal/failpoint"
)

// interruption says where the next repair ends: where the environment says, which
// it may never come by, or at places that none ended at, if there are any, or after
// some time.
func (s *surgery) interruption() (plan, time.Duration) {
	p := plan{}
	if s.rng.IntN(2) == 0 {
		p.power = 1 + s.rng.Uint64N(1<<32)
	}
	if s.only != "" {
		p.at = s.only
		return p, 0
	}
	if s.rng.IntN(4) == 0 {
		after := time.Duration(1+s.rng.IntN(300)) * time.Millisecond
		if p.power == 0 {
			p.kill = true
		}
		p.after = after
		return p, after
	}
	places := s.tally.missing()
	if len(places) == 0 {
		places = slices.Clone(repairPoints)
	}
	s.rng.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	var at []string
	for _, name := range places[:min(placesAtOnce, len(places))] {
		at = append(at, fmt.Sprintf("%s:%d", name, 1+s.rng.IntN(3)*s.rng.IntN(2)))
	}
	p.at = strings.Join(at, ",")
	return p, 0
}

// repair runs `varve repair`, kills it after some time unless that is 0, and
// returns its report, nil if it was killed.
func (s *surgery) repair(env []string, wait time.Duration, args ...string) (r *repair.Report, code int, died bool) {
	t := s.t
	cmd := exec.Command(s.o.Bin, append([]string{"repair", "--data", s.o.Dir, "--output", "json"}, args...)...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VARVE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	must(t, cmd.Start())
	timer := time.AfterFunc(patience(wait), func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	late := !timer.Stop() && wait == 0
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || late {
		t.Fatalf("repair: %v\n%s", err, &notes)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signal() == syscall.SIGKILL {
		s.interrupted(notes.String(), len(env) > 1)
		return nil, 0, true
	}
	r = &repair.Report{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil || strings.Contains(notes.String(), "panic") {
		t.Fatalf("repair %v ends with %v: %v\n%s\n%s", args, cmd.ProcessState, err, &out, &notes)
	}
	return r, cmd.ProcessState.ExitCode(), false
}

// patience is how long a repair may take.
func patience(wait time.Duration) time.Duration {
	if wait == 0 {
		return time.Minute
	}
	return wait
}

// interrupted notes where a repair ended.
func (s *surgery) interrupted(notes string, power bool) {
	if power {
		s.tally.powerLosses++
	}
	if strings.Contains(notes, "cannot be taken back") {
		s.wrong("%s", notes)
	}
	switch died := line(notes, "failpoint: died at "); died {
	case "", "time":
		s.tally.killed++
	default:
		s.tally.hit[failpoint.Name(died)]++
	}
}

// brief is a report in one line.
func brief(r *repair.Report) string {
	text := fmt.Sprintf("needed %v, refused %v, obstacle %q, metadata lost %v, %d places of the log", r.Needed, r.Refused, r.Obstacle, r.Metadata != nil, len(r.Log))
	for i := range r.Partitions {
		p := &r.Partitions[i]
		text += fmt.Sprintf("; %s-%d to %d, lost %v, holes %v, %d places, rebuilt %v, %q", p.Topic, p.Partition, p.End, p.Lost != nil, p.Holes, len(p.Segments), p.Rebuilt, p.Problem)
	}
	return text
}

// digest is of all names and bytes of a directory.
func digest(t *testing.T, dir string) [sha256.Size]byte {
	t.Helper()
	sum := sha256.New()
	must(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			fmt.Fprintln(sum, name)
			return err
		}
		b, err := os.ReadFile(name)
		fmt.Fprintln(sum, name, len(b))
		sum.Write(b)
		return err
	}))
	return [sha256.Size]byte(sum.Sum(nil))
}
