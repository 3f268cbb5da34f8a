package coordinator

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// BenchmarkCommit is one offset of one of a hundred groups, with 64 commits under
// way at any time.
func BenchmarkCommit(b *testing.B) {
	w := newWorld(b, vfs.NewMem(vfs.MemOptions{}), testSettings())
	w.topic("t", 1)
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = fmt.Sprintf("group-%d", i)
		if err := w.commit(ids[i], "t", 0, ""); err != nil {
			b.Fatal(err)
		}
	}
	var line []<-chan error
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		line = append(line, w.commitLater(ids[i%len(ids)], "t", int64(i), ""))
		if len(line) == 64 {
			if err := <-line[0]; err != nil {
				b.Fatal(err)
			}
			line = line[1:]
		}
	}
	for _, c := range line {
		if err := <-c; err != nil {
			b.Fatal(err)
		}
	}
}
