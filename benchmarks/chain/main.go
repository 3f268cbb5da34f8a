// Command chain measures records per second through the built-in filter against
// the same topic without a chain, in the same run.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/varvelog/varve/benchmarks/internal/load"
)

func main() {
	dir := flag.String("dir", "", "directory on the disk to measure (default: a temporary one)")
	rounds := flag.Int("rounds", 3, "interleaved rounds")
	d := flag.Duration("time", 5*time.Second, "of each measurement")
	batch := flag.Int("batch", 64<<10, "bytes of records in a batch")
	flag.Parse()
	if err := run(*dir, *rounds, *d, *batch); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1)
	}
}

// filter keeps every record, by a look at its headers and its key.
const filter = `{"plugin": "builtin/filter", "hook": "transform", "parameters": {"drop": {"any": [{"header": "drop", "exists": true}, {"key_prefix": "drop"}]}}}`

func run(dir string, rounds int, d time.Duration, batch int) error {
	work, err := os.MkdirTemp(dir, "varve-chain-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bin := filepath.Join(work, "varve")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/varve").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	b, err := load.Start(bin, filepath.Join(work, "data"))
	if err != nil {
		return err
	}
	defer b.Kill()
	for _, topic := range []string{"plain", "chained"} {
		if err := load.CreateTopic(b.Address, topic, 8); err != nil {
			return err
		}
	}
	if err := attach(b); err != nil {
		return err
	}
	var plain, chained []float64
	records := float64(batch / 1024)
	for r := range rounds {
		a, err := measure(b.Address, "plain", batch, d)
		if err != nil {
			return err
		}
		c, err := measure(b.Address, "chained", batch, d)
		if err != nil {
			return err
		}
		plain, chained = append(plain, a*records), append(chained, c*records)
		fmt.Printf("round %d: no chain %8.0f records/s, through builtin/filter %8.0f records/s\n", r+1, a*records, c*records)
	}
	slices.Sort(plain)
	slices.Sort(chained)
	fmt.Printf("\nratio  %.2f of the records per second without a chain (medians, 1 KiB records, batches of %d KiB)\n",
		chained[rounds/2]/plain[rounds/2], batch>>10)
	return nil
}

// attach makes the stage and the chain, once the built-in plugins are there.
func attach(b *load.Broker) error {
	deadline := time.Now().Add(time.Minute)
	for {
		list, err := b.HTTP("GET", "/v1/plugins", "")
		if err != nil {
			return err
		}
		if strings.Contains(list, "builtin/filter") {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the built-in plugins are missing: %s", list)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := b.HTTP("PUT", "/v1/stages/bench", filter); err != nil {
		return err
	}
	_, err := b.HTTP("PUT", "/v1/topics/chained/chain", `{"stages": ["bench"]}`)
	return err
}

// measure returns batches per second over four connections.
func measure(address, topic string, batch int, d time.Duration) (float64, error) {
	bytes := load.Batch(batch)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	var failed error
	began := time.Now()
	for i := range 4 {
		wg.Go(func() {
			c, err := net.Dial("tcp", address)
			var n int64
			if err == nil {
				defer c.Close()
				n, err = load.Pipeline(c, topic, 2*i, 8, 5, bytes, began.Add(d))
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return float64(total) / time.Since(began).Seconds(), failed
}
