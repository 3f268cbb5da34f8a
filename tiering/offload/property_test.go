package offload_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
)

// TestS1S2S3RandomFaults uploads the same segment under ever new ids through a
// store on which anything may go wrong, and commits what is returned: at the end
// every committed object is there and right, and once the faults are over the next
// upload succeeds.
func TestS1S2S3RandomFaults(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9)) // Upload makes one call after the other
		calm := false
		st := faultyStore(t, func(_ context.Context, op objstore.Op, _ int64) objstore.Fault {
			if calm || rng.IntN(3) > 0 {
				return objstore.Fault{}
			}
			kind := rng.IntN(7)
			if op.Kind == objstore.OpDelete {
				kind %= 2 // cleaning up has a deadline, which would be waited for
			}
			switch kind {
			case 0:
				return objstore.Fault{Err: errUnavailable}
			case 1:
				return objstore.Fault{Err: objstore.ErrDenied}
			case 2:
				return objstore.Fault{Timeout: true}
			case 3:
				return objstore.Fault{Timeout: true, Lost: true}
			case 4:
				at := int64(rng.IntN(100_000))
				return objstore.Fault{Body: func(off int64) error {
					if off >= at {
						return errors.New("reset by peer")
					}
					return nil
				}}
			case 5:
				return objstore.Fault{Corrupt: true, CorruptAt: rng.IntN(1 << 20)}
			}
			return objstore.Fault{Lost: true}
		})
		var stats offload.Stats
		committed := map[int]manifest.Segment{}
		jobs := map[int]offload.Job{}
		const tries = 25
		for n := range tries {
			calm = n == tries-1
			jobs[n] = job(n)
			seg, err := offload.Upload(context.Background(), st, jobs[n], offload.Options{Stats: &stats})
			switch class := offload.ClassOf(err); {
			case err == nil:
				committed[n] = seg
			case calm, class != offload.Retry && class != offload.Misconfigured, seg != manifest.Segment{}:
				t.Fatalf("seed %d: %+v, %v (%v)", seed, seg, err, class)
			}
		}
		for n, seg := range committed {
			mustBeRight(t, st.inner, jobs[n], seg)
		}
		if int64(len(committed)) != stats.Uploads.Load() || tries-int64(len(committed)) != stats.Failures.Load() {
			t.Fatalf("seed %d: %d committed, %+v", seed, len(committed), &stats)
		}
	}
}
