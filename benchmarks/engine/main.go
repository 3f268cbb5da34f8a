// Command engine measures the engine alone, in one process and without a
// network: raft groups over the shared write-ahead log, apply, and segments, as
// the broker wires and drives them. Its peer, in the same run and in turns, is
// the bare loop that does nothing but write 1 MiB past the page cache into a
// file whose blocks exist, and sync.
//
// The client is in the process too: for each batch it pays the copy and the
// checksums that a broker pays for a request, and its processor time counts.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/varvelog/varve/benchmarks/internal/bare"
	"github.com/varvelog/varve/internal/vfs"
)

type options struct {
	dir        string
	rounds     int
	time, warm time.Duration
	partitions []int
	batches    []int
	profile    string
}

func main() {
	var o options
	var partitions, batches string
	gc := flag.Int("gogc", 0, "garbage collection target in percent (default: the runtime's)")
	flag.StringVar(&o.dir, "dir", "", "directory on the disk to measure (default: a temporary one)")
	flag.IntVar(&o.rounds, "rounds", 3, "interleaved rounds")
	flag.DurationVar(&o.time, "time", 3*time.Second, "of each measurement")
	flag.DurationVar(&o.warm, "warm", 2*time.Second, "before each measurement of the engine")
	flag.StringVar(&partitions, "partitions", "64", "numbers of partitions, separated by commas")
	flag.StringVar(&batches, "batches", "1024,16384,65536,1048576", "bytes of records in a batch, separated by commas")
	flag.StringVar(&o.profile, "profile", "", "file for a processor profile of all measurements of the engine")
	flag.Parse()
	if *gc > 0 {
		debug.SetGCPercent(*gc)
	}
	var err error
	if o.partitions, err = numbers(partitions); err == nil {
		o.batches, err = numbers(batches)
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func numbers(list string) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number above zero", field)
		}
		out = append(out, n)
	}
	return out, nil
}

// series are the measurements of one combination, one of each round.
type series struct {
	partitions, batch int
	bare, ratio       []float64
	engine            []result
}

func run(o options) (err error) {
	work, err := os.MkdirTemp(o.dir, "varve-engine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	fs, err := vfs.OS(work)
	if err != nil {
		return err
	}
	defer fs.(io.Closer).Close()
	loop, err := bare.New(fs, "bare", 1<<20)
	if err != nil {
		return err
	}
	defer loop.Close()
	var all []*series
	for _, p := range o.partitions {
		for _, b := range o.batches {
			all = append(all, &series{partitions: p, batch: b})
		}
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("%d processors; %s of each, %d rounds\n\n", runtime.GOMAXPROCS(0), o.time, o.rounds)
	fmt.Printf("%5s %18s %11s %14s %7s %9s %11s %9s %9s %6s\n",
		"round", "partitions x bytes", "bare MB/s", "engine MB/s", "ratio", "CPU-s/GB", "allocs/op", "p50 ms", "p99 ms", "debt")
	for round := range o.rounds {
		for _, s := range all {
			if err := s.measure(o, loop, work); err != nil {
				return err
			}
			s.print(strconv.Itoa(round+1), round)
		}
	}
	fmt.Println()
	for _, s := range all {
		s.print("med.", -1)
	}
	return nil
}

func (s *series) measure(o options, loop *bare.Loop, work string) error {
	before, err := loop.Run(o.time / 2)
	if err != nil {
		return err
	}
	r, err := measure(work, s.partitions, s.batch, o.warm, o.time)
	if err != nil {
		return fmt.Errorf("%d partitions, %d bytes: %w", s.partitions, s.batch, err)
	}
	after, err := loop.Run(o.time / 2)
	if err != nil {
		return err
	}
	peer := (before + after) / 2
	s.bare, s.engine, s.ratio = append(s.bare, peer), append(s.engine, r), append(s.ratio, r.rate/peer)
	return nil
}

// print shows one round, or the medians if round is negative.
func (s *series) print(name string, round int) {
	pick := func(v func(i int) float64) float64 {
		if round >= 0 {
			return v(round)
		}
		var all []float64
		for i := range s.engine {
			all = append(all, v(i))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	fmt.Printf("%5s %18s %11.0f %14.0f %7.2f %9.2f %11.1f %9.2f %9.2f %5.0fM\n", name, fmt.Sprintf("%d x %d", s.partitions, s.batch),
		pick(func(i int) float64 { return s.bare[i] }), pick(func(i int) float64 { return s.engine[i].rate }),
		pick(func(i int) float64 { return s.ratio[i] }), pick(func(i int) float64 { return s.engine[i].cpu }),
		pick(func(i int) float64 { return s.engine[i].allocs }),
		pick(func(i int) float64 { return ms(s.engine[i].p50) }), pick(func(i int) float64 { return ms(s.engine[i].p99) }),
		pick(func(i int) float64 { return float64(s.engine[i].debt) / 1e6 }))
}
