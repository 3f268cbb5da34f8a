package offload_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

func TestUpload(t *testing.T) {
	for _, url := range []string{"mem://", "file://" + t.TempDir()} {
		st := open(t, url)
		var stats offload.Stats
		closed := 0
		j := job(0)
		j.Close = func() { closed++ }
		seg, err := offload.Upload(t.Context(), st, j, offload.Options{Stats: &stats})
		if err != nil || offload.ClassOf(err) != offload.None {
			t.Fatal(err)
		}
		mustBeRight(t, st, j, seg)
		if closed != 1 || stats.Uploads.Load() != 1 || stats.UploadedBytes.Load() != seg.ObjectBytes ||
			stats.ByReadBack.Load() != 1 || stats.ReadBackBytes.Load() != seg.ObjectBytes || stats.Failures.Load() != 0 {
			t.Errorf("closed %d times; %+v", closed, &stats)
		}
	}
}

// S1: what the store has is compared with what was sent, whatever went wrong on
// the way; nothing is returned to be committed, and what is surely ours goes.
func TestS1TamperedObjectsAreNotCommitted(t *testing.T) {
	j := job(0)
	tail := int(manifest.DataOffset + j.DataBytes)
	flip := func(i int) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= 16; return b }
	}
	cases := map[string]func([]byte) []byte{
		"header":      flip(30),
		"first batch": flip(manifest.DataOffset),
		"epoch":       flip(manifest.DataOffset + 13), // no batch's checksum covers it
		"last batch":  flip(tail - 1),
		"tail":        flip(tail),
		"footer":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":         func(b []byte) []byte { return b[:len(b)-1] },
		"empty":       func(b []byte) []byte { return nil },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"zeroed":      func(b []byte) []byte { clear(b[4096:8192]); return b },
	}
	for name, change := range cases {
		for _, mode := range []offload.Verify{offload.Auto, offload.Full} {
			st := open(t, "mem://")
			var stats offload.Stats
			bad := &summing{Store: &tampering{st, change}, part: 8 << 20}
			seg, err := offload.Upload(t.Context(), bad, j, offload.Options{Stats: &stats, Verify: mode})
			if !errors.Is(err, offload.ErrUnverified) || offload.ClassOf(err) != offload.Retry || seg != (manifest.Segment{}) {
				t.Errorf("%s: %v", name, err)
			}
			if stored(t, st, keyOf(j)) != nil || stats.Discarded.Load() != 1 || stats.Unverified.Load() != 1 {
				t.Errorf("%s: the object is still there", name)
			}
		}
	}
}

// S1: the same for an object that is right and read back wrong: the two cannot
// be told apart.
func TestS1CorruptReads(t *testing.T) {
	j := job(0)
	for _, nth := range []int64{1, 2, 3} { // tail, header, data
		for _, at := range []int{0, 17, 63} {
			st := faultyStore(t, func(_ context.Context, op objstore.Op, n int64) objstore.Fault {
				return objstore.Fault{Corrupt: op.Kind == objstore.OpGetRange && n == nth, CorruptAt: at}
			})
			seg, err := offload.Upload(t.Context(), st, j, offload.Options{})
			if !errors.Is(err, offload.ErrUnverified) || seg != (manifest.Segment{}) {
				t.Errorf("read %d, byte %d: %v", nth, at, err)
			}
			if st.ops[objstore.OpGetRange].Load() != nth {
				t.Errorf("%d reads", st.ops[objstore.OpGetRange].Load())
			}
		}
	}
}

// S1: the store vouches for what it was sent, and that must be what was built.
func TestS1SegmentThatChangesWhileItIsSent(t *testing.T) {
	for _, part := range []int{8 << 20, 5 << 20} {
		j := job(0)
		j.Data = &flipLater{ReaderAt: j.Data, size: j.DataBytes}
		st := &summing{Store: open(t, "mem://"), part: part}
		_, err := offload.Upload(t.Context(), st, j, offload.Options{})
		if !errors.Is(err, offload.ErrUnverified) || stored(t, st, keyOf(j)) != nil {
			t.Errorf("%v", err)
		}
	}
}

// A checksum that is not the expected one proves nothing either way; the data is
// read back then.
func TestS1ChecksumOfTheStore(t *testing.T) {
	for name, c := range map[string]struct {
		st      summing
		o       offload.Options
		trusted bool
	}{
		"agrees":          {summing{part: 8 << 20}, offload.Options{}, true},
		"full":            {summing{part: 8 << 20}, offload.Options{Verify: offload.Full}, false},
		"other parts":     {summing{part: 4000}, offload.Options{}, false},
		"another kind":    {summing{part: 8 << 20, lie: "crc64:AAAA"}, offload.Options{}, false},
		"of another body": {summing{part: 8 << 20, lie: "crc32c:AAAAAA=="}, offload.Options{}, false},
	} {
		j := job(0)
		var stats offload.Stats
		c.st.Store, c.o.Stats = open(t, "mem://"), &stats
		seg, err := offload.Upload(t.Context(), &c.st, j, c.o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustBeRight(t, c.st.Store, j, seg)
		want := seg.ObjectBytes
		if c.trusted {
			want -= seg.TailOffset()
		}
		if (stats.ByChecksum.Load() == 1) != c.trusted || (stats.ByReadBack.Load() == 1) == c.trusted || stats.ReadBackBytes.Load() != want {
			t.Errorf("%s: %+v", name, &stats)
		}
	}
}

// S2: a lost response is resolved by reading all of the object back, although the
// store vouches for a checksum.
func TestS2LostResponse(t *testing.T) {
	for _, timeout := range []bool{false, true} {
		inner := faultyStore(t, func(_ context.Context, op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Lost: op.Kind == objstore.OpPut, Timeout: timeout && op.Kind == objstore.OpPut}
		})
		j := job(0)
		var stats offload.Stats
		seg, err := offload.Upload(context.Background(), &summing{Store: inner, part: 8 << 20}, j, offload.Options{Stats: &stats})
		if err != nil {
			t.Fatal(err)
		}
		mustBeRight(t, inner.inner, j, seg)
		if stats.Resolved.Load() != 1 || stats.ByReadBack.Load() != 1 || stats.ByChecksum.Load() != 0 {
			t.Errorf("%+v", &stats)
		}
	}
}

// S2, S3: what stays unknown is an error that may be tried again, and the object
// stays: somebody may know more.
func TestS2UnknownOutcomeIsNoSuccess(t *testing.T) {
	unavailable := func() error { return errUnavailable }
	for name, c := range map[string]struct {
		fault func(op objstore.Op, nth int64) objstore.Fault
		there bool
	}{
		"not done": {func(op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Err: on(op, objstore.OpPut, unavailable())}
		}, false},
		"timed out, not done": {func(op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Timeout: op.Kind == objstore.OpPut}
		}, false},
		"body broke off": {func(op objstore.Op, _ int64) objstore.Fault {
			if op.Kind != objstore.OpPut {
				return objstore.Fault{}
			}
			return objstore.Fault{Body: func(off int64) error {
				if off > 0 {
					return errors.New("reset by peer")
				}
				return nil
			}}
		}, false},
		"lost, and then down": {func(op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Lost: op.Kind == objstore.OpPut, Err: on(op, objstore.OpHead, unavailable())}
		}, true},
		"lost, and no reads": {func(op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Lost: op.Kind == objstore.OpPut, Err: on(op, objstore.OpGetRange, unavailable())}
		}, true},
		"lost, and reads are cut": {func(op objstore.Op, _ int64) objstore.Fault {
			f := objstore.Fault{Lost: op.Kind == objstore.OpPut}
			if op.Kind == objstore.OpGetRange {
				f.Body = func(int64) error { return errors.New("reset by peer") }
			}
			return f
		}, true},
		"lost, and reads are corrupt": {func(op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Lost: op.Kind == objstore.OpPut, Corrupt: op.Kind == objstore.OpGetRange}
		}, true},
	} {
		st := faultyStore(t, func(_ context.Context, op objstore.Op, nth int64) objstore.Fault { return c.fault(op, nth) })
		j := job(0)
		seg, err := offload.Upload(context.Background(), st, j, offload.Options{})
		if offload.ClassOf(err) != offload.Retry || seg != (manifest.Segment{}) {
			t.Errorf("%s: %v (%v)", name, err, offload.ClassOf(err))
		}
		if there := stored(t, st.inner, keyOf(j)) != nil; there != c.there || st.ops[objstore.OpDelete].Load() != 0 {
			t.Errorf("%s: there %t, %d deletes", name, there, st.ops[objstore.OpDelete].Load())
		}
	}
}

var errUnavailable = errorsWrap(objstore.ErrUnavailable, "503 slow down")

func errorsWrap(kind error, text string) error { return errors.Join(kind, errors.New(text)) }

func on(op objstore.Op, kind objstore.OpKind, err error) error {
	if op.Kind == kind {
		return err
	}
	return nil
}

// S3: an object that stands under the key already may be committed: the same
// content is a success, another one an error, and neither is deleted.
func TestS3ConflictDeletesNothing(t *testing.T) {
	st := open(t, "mem://")
	j := job(0)
	first, err := offload.Upload(t.Context(), st, j, offload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := offload.Upload(t.Context(), st, j, offload.Options{})
	if err != nil || again != first {
		t.Fatalf("%+v, %v", again, err)
	}
	j.Producers = []byte("another state")
	if _, err := offload.Upload(t.Context(), st, j, offload.Options{}); !errors.Is(err, offload.ErrUnverified) {
		t.Errorf("%v", err)
	}
	mustBeRight(t, st, j, first)
}

// S3: after a put that succeeded, everything that fails leaves either nothing or
// an orphan; the orphan only if it cannot be deleted.
func TestS3FailedVerification(t *testing.T) {
	for _, kind := range []objstore.OpKind{objstore.OpHead, objstore.OpGetRange} {
		for _, canDelete := range []bool{true, false} {
			for want, fail := range map[offload.Class]error{offload.Retry: errUnavailable, offload.Misconfigured: objstore.ErrDenied} {
				st := faultyStore(t, func(_ context.Context, op objstore.Op, _ int64) objstore.Fault {
					if op.Kind == objstore.OpDelete && !canDelete {
						return objstore.Fault{Err: fail}
					}
					return objstore.Fault{Err: on(op, kind, fail)}
				})
				var stats offload.Stats
				j := job(0)
				_, err := offload.Upload(t.Context(), st, j, offload.Options{Stats: &stats})
				if offload.ClassOf(err) != want {
					t.Errorf("%v", err)
				}
				if gone := stored(t, st.inner, keyOf(j)) == nil; gone != canDelete || (stats.Discarded.Load() == 1) != canDelete || (stats.DiscardFailures.Load() == 0) != canDelete {
					t.Errorf("gone %t, want %t", gone, canDelete)
				}
			}
		}
	}
}

// The clean-up happens although the caller gave up during the verification.
func TestS3CanceledUpload(t *testing.T) {
	for _, kind := range []objstore.OpKind{objstore.OpPut, objstore.OpHead, objstore.OpGetRange} {
		ctx, cancel := context.WithCancel(context.Background())
		st := faultyStore(t, func(_ context.Context, op objstore.Op, _ int64) objstore.Fault {
			if op.Kind == kind {
				cancel()
				return objstore.Fault{Timeout: true}
			}
			return objstore.Fault{}
		})
		j := job(0)
		_, err := offload.Upload(ctx, st, j, offload.Options{})
		if offload.ClassOf(err) != offload.Canceled || stored(t, st.inner, keyOf(j)) != nil {
			t.Errorf("canceled in call %d: %v", kind, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := offload.Upload(ctx, open(t, "mem://"), job(1), offload.Options{}); offload.ClassOf(err) != offload.Canceled {
		t.Error(err)
	}
}

// L8: a corrupt batch is never copied.
func TestL8DamagedSegment(t *testing.T) {
	j := job(0)
	data, err := io.ReadAll(io.NewSectionReader(j.Data, 0, j.DataBytes))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	j.Data = bytes.NewReader(data)
	st := faultyStore(t, func(context.Context, objstore.Op, int64) objstore.Fault { return objstore.Fault{} })
	var stats offload.Stats
	_, err = offload.Upload(t.Context(), st, j, offload.Options{Stats: &stats})
	var bad *segfile.BatchError
	if offload.ClassOf(err) != offload.Damage || !errors.As(err, &bad) || !errors.Is(err, record.ErrCorrupt) {
		t.Fatal(err)
	}
	for _, part := range []string{j.Name, "position", "offset"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name the %s", err, part)
		}
	}
	if st.ops[objstore.OpPut].Load() != 0 || stats.Damaged.Load() != 1 || stats.Failures.Load() != 1 {
		t.Error("it was sent")
	}
}

// What the source says of every batch is asked for, in order, and a batch that it
// refuses is not copied: a wrong leader epoch would stay wrong.
func TestRefusedBatchIsNotUploaded(t *testing.T) {
	st := open(t, "mem://")
	good, bad := job(0), job(1)
	seen, end := 0, int64(0)
	good.Check = func(pos int64, h *record.Header) error {
		if pos != end {
			t.Errorf("batch %d is said to be at %d, not at %d", seen, pos, end)
		}
		seen, end = seen+1, pos+int64(h.Size())
		return nil
	}
	if _, err := offload.Upload(t.Context(), st, good, offload.Options{}); err != nil || end != good.DataBytes {
		t.Fatalf("%d bytes of %d were checked: %v", end, good.DataBytes, err)
	}
	wrong := errors.New("another leader epoch")
	bad.Check = func(_ int64, h *record.Header) error {
		if seen--; seen == 0 {
			return wrong
		}
		return nil
	}
	_, err := offload.Upload(t.Context(), st, bad, offload.Options{})
	if offload.ClassOf(err) != offload.Damage || !errors.Is(err, wrong) || stored(t, st, keyOf(bad)) != nil {
		t.Fatalf("%v (%v)", err, offload.ClassOf(err))
	}
}

func TestLocalReadErrors(t *testing.T) {
	broken := errors.New("input/output error")
	first, later := job(0), job(1)
	first.Data = &failLater{err: broken}
	first.Data.(*failLater).passed.Store(true)
	later.Data = &failLater{flipLater{ReaderAt: later.Data, size: later.DataBytes}, broken}
	for _, j := range []offload.Job{first, later} {
		st := open(t, "mem://")
		_, err := offload.Upload(t.Context(), st, j, offload.Options{})
		if offload.ClassOf(err) != offload.Local || !errors.Is(err, broken) || !strings.Contains(err.Error(), j.Name) {
			t.Errorf("%v (%v)", err, offload.ClassOf(err))
		}
		if stored(t, st, keyOf(j)) != nil {
			t.Error("something was stored")
		}
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		put  error
		want offload.Class
	}{
		{objstore.ErrDenied, offload.Misconfigured},
		{objstore.ErrInvalid, offload.Misconfigured},
		{objstore.ErrClosed, offload.Canceled},
		{errors.New("what nobody knows"), offload.Defect},
	} {
		st := faultyStore(t, func(_ context.Context, op objstore.Op, _ int64) objstore.Fault {
			return objstore.Fault{Err: on(op, objstore.OpPut, c.put)}
		})
		if _, err := offload.Upload(t.Context(), st, job(0), offload.Options{}); offload.ClassOf(err) != c.want {
			t.Errorf("%v is %v, want %v", err, offload.ClassOf(err), c.want)
		}
	}
	j := job(0)
	j.End = j.Base
	if _, err := offload.Upload(t.Context(), open(t, "mem://"), j, offload.Options{}); offload.ClassOf(err) != offload.Defect || !errors.Is(err, offload.ErrJob) {
		t.Error(err)
	}
	seen := map[string]bool{}
	for c := offload.None; c <= offload.Defect+1; c++ {
		if seen[c.String()] {
			t.Errorf("two classes are called %v", c)
		}
		seen[c.String()] = true
	}
}

func TestDiscard(t *testing.T) {
	st := open(t, "mem://")
	a, b := job(0), job(1)
	for _, j := range []offload.Job{a, b} {
		if _, err := offload.Upload(t.Context(), st, j, offload.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := offload.Discard(t.Context(), st, keyOf(a), cluster+"/manifests/1"); !errors.Is(err, offload.ErrJob) || stored(t, st, keyOf(a)) == nil {
		t.Fatalf("a key that is no segment's: %v", err)
	}
	for range 2 {
		if err := offload.Discard(t.Context(), st, keyOf(a)); err != nil {
			t.Fatal(err)
		}
	}
	if stored(t, st, keyOf(a)) != nil || stored(t, st, keyOf(b)) == nil {
		t.Error("not exactly the one was deleted")
	}
	down := faultyStore(t, func(context.Context, objstore.Op, int64) objstore.Fault { return objstore.Fault{Err: errUnavailable} })
	if err := offload.Discard(t.Context(), down, keyOf(b)); offload.ClassOf(err) != offload.Retry {
		t.Error(err)
	}
}

// Different jobs run at once and share everything that may be shared.
func TestUploadsAtOnce(t *testing.T) {
	st := open(t, "mem://")
	var stats offload.Stats
	rate := offload.NewRate(1<<40, offload.RealClock())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			j := job(n)
			seg, err := offload.Upload(t.Context(), st, j, offload.Options{Stats: &stats, Limiter: rate})
			if err != nil || seg.ID != segfiletest.NewID(n+1) {
				t.Errorf("%+v, %v", seg, err)
			}
		})
	}
	wg.Wait()
	if stats.Uploads.Load() != 8 {
		t.Errorf("%d uploads", stats.Uploads.Load())
	}
}
