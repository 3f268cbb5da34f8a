//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled tells whether this build can die on purpose.
const Enabled = true

// Variables of the environment.
const (
	envPoint   = "VARVE_FAILPOINT"
	envPower   = "VARVE_FAILPOINT_POWER"
	envControl = "VARVE_FAILPOINT_CONTROL"
)

// timePoint is the place that is a moment.
const timePoint Name = "time"

// armed is where this process dies. It does not change after init.
var armed struct {
	at    map[Name]int64 // passes until it dies
	power bool
	seed  uint64
}

// control is the file that says what the disk does; empty: there is none.
var control string

// disk is what FS returned, for dying to take its unsynced writes back.
var disk atomic.Pointer[faultFS]

func init() {
	for _, name := range []string{envPoint, envPower, envControl} {
		value, ok := os.LookupEnv(name)
		if !ok {
			continue
		}
		os.Unsetenv(name) // the broker takes VARVE_ for settings
		if err := configure(name, value); err != nil {
			fmt.Fprintf(os.Stderr, "failpoint: %s=%q: %v\n", name, value, err)
			os.Exit(2)
		}
	}
}

func configure(name, value string) (err error) {
	switch name {
	case envControl:
		control = value
	case envPower:
		armed.power = true
		armed.seed, err = strconv.ParseUint(value, 10, 64)
	case envPoint:
		armed.at = map[Name]int64{}
		for one := range strings.SplitSeq(value, ",") {
			point, count, _ := strings.Cut(one, ":")
			n, err := strconv.ParseInt(count, 10, 32)
			if err != nil || n < 1 {
				return fmt.Errorf("want NAME:N with N above 0")
			}
			if armed.at[Name(point)] = n; Name(point) == timePoint {
				time.AfterFunc(time.Duration(n)*time.Millisecond, func() { die(timePoint) })
			}
		}
	}
	return err
}

// passed counts how often each place was passed: Name to *atomic.Int64.
var passed sync.Map

// due counts a pass of n and reports whether the process is to die at it.
func due(n Name) bool {
	count, ok := passed.Load(n)
	if !ok {
		count, _ = passed.LoadOrStore(n, new(atomic.Int64))
	}
	pass := count.(*atomic.Int64).Add(1)
	return armed.at[n] == pass
}

// passes returns NAME=COUNT of every place that was passed.
func passes() string {
	var out []string
	passed.Range(func(n, count any) bool {
		out = append(out, fmt.Sprintf("%s=%d", n, count.(*atomic.Int64).Load()))
		return true
	})
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Hit dies if the process is to die here, at this pass.
func Hit(n Name) {
	if due(n) {
		die(n)
	}
}

// die ends the process as kill -9 does. It does not return.
func die(at Name) {
	if d := disk.Load(); d != nil {
		d.freeze()
		if armed.power {
			if err := d.powerLoss(armed.seed); err != nil {
				fmt.Fprintf(os.Stderr, "failpoint: writes cannot be taken back: %v\n", err)
			}
		}
	}
	fmt.Fprintf(os.Stderr, "failpoint: passed %s\nfailpoint: died at %s\n", passes(), at)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
