// Command partitions measures what idle partitions cost and how fast a broker
// that was killed with a full write-ahead log serves again, against the same
// broker when it is empty, in the same run.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/varvelog/varve/benchmarks/internal/load"
)

func main() {
	dir := flag.String("dir", "", "directory on the disk to measure (default: a temporary one)")
	topics := flag.Int("topics", 33, "topics of 100 partitions each")
	idle := flag.Duration("idle", 10*time.Second, "how long the broker is watched doing nothing")
	fill := flag.Duration("fill", 5*time.Second, "how long it is loaded before it is killed")
	flag.Parse()
	if err := run(*dir, *topics, *idle, *fill); err != nil {
		fmt.Fprintln(os.Stderr, "partitions:", err)
		os.Exit(1)
	}
}

// figures are what is seen of a broker.
type figures struct {
	ready time.Duration
	rss   float64 // MiB
	cpu   float64 // of one core, idle
}

func run(dir string, topics int, idle, fill time.Duration) error {
	work, err := os.MkdirTemp(dir, "varve-partitions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bin := filepath.Join(work, "varve")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/varve").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	data := filepath.Join(work, "data")
	empty, b, err := watch(bin, data, idle)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range topics {
		if err := load.CreateTopic(b.Address, fmt.Sprintf("topic-%d", i), 100); err != nil {
			return err
		}
	}
	fmt.Printf("%d partitions made in %.2f s\n", topics*100, time.Since(began).Seconds())
	many, err := observe(b, idle)
	if err != nil {
		return err
	}
	written, err := saturate(b.Address, fill)
	if err != nil {
		return err
	}
	b.Kill()
	began = time.Now()
	again, err := load.Start(bin, data)
	if err != nil {
		return err
	}
	defer again.Kill()
	many.ready = time.Since(began)
	fmt.Printf("%-34s %12s %12s %8s\n", "", "empty", fmt.Sprint(topics*100, " part."), "ratio")
	fmt.Printf("%-34s %12.1f %12.1f %8.2f\n", "RSS, MiB", empty.rss, many.rss, many.rss/empty.rss)
	fmt.Printf("%-34s %12.2f %12.2f\n", "CPU when idle, % of a core", empty.cpu, many.cpu)
	fmt.Printf("%-34s %12.0f %12.0f %8.2f\n", fmt.Sprintf("ready, ms (after kill -9 under load, %d MB written)", written/1e6),
		float64(empty.ready.Milliseconds()), float64(many.ready.Milliseconds()), float64(many.ready)/float64(empty.ready))
	return nil
}

// watch starts a broker and looks at it doing nothing.
func watch(bin, data string, idle time.Duration) (figures, *load.Broker, error) {
	began := time.Now()
	b, err := load.Start(bin, data)
	if err != nil {
		return figures{}, nil, err
	}
	ready := time.Since(began)
	f, err := observe(b, idle)
	f.ready = ready
	return f, b, err
}

func observe(b *load.Broker, idle time.Duration) (figures, error) {
	time.Sleep(2 * time.Second) // what it began by itself comes to an end
	before, err := b.CPU()
	if err != nil {
		return figures{}, err
	}
	time.Sleep(idle)
	after, err := b.CPU()
	if err != nil {
		return figures{}, err
	}
	rss, err := b.RSS()
	return figures{rss: rss, cpu: 100 * (after - before) / idle.Seconds()}, err
}

// saturate writes to the partitions of the first topic.
func saturate(address string, d time.Duration) (int64, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	const batch = 64 << 10
	n, err := load.Pipeline(c, "topic-0", 0, 100, 5, load.Batch(batch), time.Now().Add(d))
	return n * batch, err
}
