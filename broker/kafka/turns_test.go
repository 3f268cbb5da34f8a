package kafka

import (
	"testing"
	"testing/synctest"

	"github.com/varvelog/varve/internal/record"
)

// TestTurnsBoundWhatIsDecompressed: compressed batches are looked into, and
// compressed otherwise, by as many at a time as docs/memory.md counts; what is not
// compressed waits for nobody.
func TestTurnsBoundWhatIsDecompressed(t *testing.T) {
	for procs, want := range map[int][2]int{1: {2, 2}, 3: {3, 3}, 16: {16, 4}} {
		if n := newTurns(procs); cap(n.check) != want[0] || cap(n.rewrite) != want[1] {
			t.Errorf("with %d cores %d and %d at a time, want %v", procs, cap(n.check), cap(n.rewrite), want)
		}
	}
	params := rigParams()
	plain := rigBatch(t, params, "a", "b")
	params.Codec = record.Gzip
	packed := rigBatch(t, params, "a", "b")
	head, err := record.ParseHeader(packed)
	if err != nil {
		t.Fatal(err)
	}
	b := newDataRig(t)
	synctest.Test(t, func(t *testing.T) {
		h := &Handlers{b: b, turns: newTurns(1)}
		waits := func(turn chan struct{}, f func() error) {
			t.Helper()
			for range cap(turn) {
				turn <- struct{}{}
			}
			done := make(chan error, 1)
			go func() { done <- f() }()
			synctest.Wait()
			if len(done) > 0 {
				t.Error("it did not wait for its turn")
			}
			if _, err := h.validate(plain, record.Limits{}); err != nil {
				t.Error(err)
			}
			for range cap(turn) {
				<-turn
			}
			if err := <-done; err != nil || len(turn) > 0 {
				t.Errorf("%v, %d turns are still taken", err, len(turn))
			}
		}
		waits(h.turns.check, func() error {
			_, err := h.validate(packed, record.Limits{})
			return err
		})
		waits(h.turns.rewrite, func() error {
			_, err := h.rewrite(packed, &head, record.Zstd, 3)
			return err
		})
	})
}
