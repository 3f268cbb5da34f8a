// Command durable measures how fast the broker takes batches that it has synced
// before it answers, against a bare loop of write and sync, past the page cache
// and into blocks that exist, on the same disk in the same run.
//
// The load is pre-encoded batches over raw connections, several in flight on
// each, so that the client costs little; the client still shares the machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/varvelog/varve/benchmarks/internal/bare"
	"github.com/varvelog/varve/benchmarks/internal/load"
	"github.com/varvelog/varve/internal/vfs"
)

func main() {
	dir := flag.String("dir", "", "directory on the disk to measure (default: a temporary one)")
	rounds := flag.Int("rounds", 3, "interleaved rounds")
	seconds := flag.Duration("time", 5*time.Second, "of each measurement")
	batch := flag.Int("batch", 64<<10, "bytes of records in a batch")
	partitions := flag.Int("partitions", 8, "of the topic")
	connections := flag.Int("connections", 4, "connections, five requests in flight on each")
	flag.Parse()
	if err := run(*dir, *rounds, *seconds, *batch, *partitions, *connections); err != nil {
		fmt.Fprintln(os.Stderr, "durable:", err)
		os.Exit(1)
	}
}

func run(dir string, rounds int, d time.Duration, batch, partitions, connections int) error {
	work, err := os.MkdirTemp(dir, "varve-durable-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bin := filepath.Join(work, "varve")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/varve").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	var small, large, broker []float64
	fmt.Printf("%-8s %22s %22s %34s\n", "round", "write 64 KiB + sync", "write 1 MiB + sync", "broker")
	for r := range rounds {
		a, err := peer(work, 64<<10, d)
		if err != nil {
			return err
		}
		b, err := peer(work, 1<<20, d)
		if err != nil {
			return err
		}
		c, cpu, err := produce(bin, work, batch, partitions, connections, d)
		if err != nil {
			return err
		}
		small, large, broker = append(small, a), append(large, b), append(broker, c)
		fmt.Printf("%-8d %17.0f MB/s %17.0f MB/s %17.0f MB/s, %.1f CPU-s/GB\n", r+1, a, b, c, cpu)
	}
	s, l, m := median(small), median(large), median(broker)
	fmt.Printf("\nmedian   broker %.0f MB/s of records, acknowledged after the sync and written twice (log and segments)\n", m)
	fmt.Printf("ratio    %.2f of the bare 64 KiB loop, %.2f of the bare 1 MiB loop\n", m/s, m/l)
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// peer runs the bare loop with blocks of that size.
func peer(dir string, block int, d time.Duration) (_ float64, err error) {
	fs, err := vfs.OS(dir)
	if err != nil {
		return 0, err
	}
	loop, err := bare.New(fs, "bare", block)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, loop.Close(), fs.(io.Closer).Close()) }()
	return loop.Run(d)
}

// produce runs a broker and loads it. It returns MB of records per second, and
// the broker's CPU seconds per GB.
func produce(bin, dir string, batch, partitions, connections int, d time.Duration) (float64, float64, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(data)
	b, err := load.Start(bin, data)
	if err != nil {
		return 0, 0, err
	}
	defer b.Kill()
	if err := load.CreateTopic(b.Address, "durable", int32(partitions)); err != nil {
		return 0, 0, err
	}
	bytes := load.Batch(batch)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	var failed error
	stop := time.Now().Add(d)
	began := time.Now()
	for i := range connections {
		wg.Go(func() {
			c, err := net.Dial("tcp", b.Address)
			if err == nil {
				defer c.Close()
				var n int64
				n, err = load.Pipeline(c, "durable", i, partitions, 5, bytes, stop)
				mu.Lock()
				total += n * int64(batch)
				mu.Unlock()
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	if failed != nil {
		return 0, 0, failed
	}
	cpu, err := b.CPU()
	if err != nil {
		return 0, 0, err
	}
	return float64(total) / 1e6 / took, cpu / (float64(total) / 1e9), nil
}
