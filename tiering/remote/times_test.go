package remote

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

// stamp is offset and timestamp of a record.
type stamp struct {
	off ident.Offset
	at  int64
}

// stamps scans all records.
func (tr *tier) stamps(t *testing.T) []stamp {
	t.Helper()
	var out []stamp
	for _, b := range tr.batches {
		h, err := record.ParseHeader(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		err = record.ForEach(b.Bytes, 0, func(r *record.Record) error {
			out = append(out, stamp{b.Base + ident.Offset(r.OffsetDelta), h.BaseTimestamp + r.TimestampDelta})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestTimestampsAgreeWithScan: L9.
func TestTimestampsAgreeWithScan(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			tr := newTier(t, seed, 10, randomShapes(rng)...)
			r := newReader(t, tr.store, Options{ChunkBytes: 1024 << rng.IntN(8)})
			all := tr.stamps(t)
			for range 60 {
				from := tr.list.Start() + ident.Offset(rng.Int64N(int64(tr.end()-tr.list.Start())+10)-5)
				ts := int64(1_700_000_000_000 + rng.IntN(110_000) - 5_000)
				if len(all) > 0 && rng.IntN(2) == 0 {
					ts = all[rng.IntN(len(all))].at
				}
				if rng.IntN(10) == 0 {
					ts = int64(rng.IntN(3))
				}
				want := stamp{-1, -1}
				best := stamp{-1, -1}
				for _, s := range all {
					if s.off < from {
						continue
					}
					if want.off < 0 && s.at >= ts {
						want = s
					}
					if s.at > best.at {
						best = s
					}
				}
				off, at, found, err := r.OffsetForTimestamp(t.Context(), partition, tr.list, ts, from)
				if err != nil || (stamp{off, at}) != want || found != (want.off >= 0) {
					t.Fatalf("timestamp %d from %d: %d at %d, %v, %v; the scan gives %v", ts, from, off, at, found, err, want)
				}
				off, at, found, err = r.MaxTimestamp(t.Context(), partition, tr.list, from)
				if err != nil || (stamp{off, at}) != best || found != (best.off >= 0) {
					t.Fatalf("largest from %d: %d at %d, %v, %v; the scan gives %v", from, off, at, found, err, best)
				}
			}
		})
	}
}

func TestTimestampOfNothing(t *testing.T) {
	r := newReader(t, newTier(t, 1, 0).store, Options{})
	if _, _, found, err := r.OffsetForTimestamp(t.Context(), partition, manifest.List{}, 5, 0); found || err != nil {
		t.Error(found, err)
	}
	if _, _, found, err := r.MaxTimestamp(t.Context(), partition, manifest.List{}, 0); found || err != nil {
		t.Error(found, err)
	}
}

// TestTimestampIsBounded: records that grow beyond the limit are not decoded.
func TestTimestampIsBounded(t *testing.T) {
	tr := newTier(t, 6, 0, segfiletest.Shape{Batches: 60, Records: 40})
	r := newReader(t, tr.store, Options{MaxDecompressedBytes: 16})
	_, _, _, err := r.MaxTimestamp(t.Context(), partition, tr.list, 0)
	for ts := int64(1_700_000_000_000); err == nil && ts < 1_700_000_100_000; ts += 500 {
		_, _, _, err = r.OffsetForTimestamp(t.Context(), partition, tr.list, ts, 0)
	}
	if !errors.Is(err, ErrDamaged) || !errors.Is(err, record.ErrTooLarge) {
		t.Error(err)
	}
}

func TestTimestampErrors(t *testing.T) {
	tr := newTier(t, 6, 0, segfiletest.Shape{Batches: 60})
	w := newWire(tr.store)
	w.set(down)
	r := newReader(t, w, Options{})
	if _, _, _, err := r.OffsetForTimestamp(t.Context(), partition, tr.list, 5, 0); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, _, _, err := r.MaxTimestamp(t.Context(), partition, tr.list, 0); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// TestMaxTimestampOfEquals: of several records with the largest timestamp the
// first at or above from counts, also in the segment that holds from.
func TestMaxTimestampOfEquals(t *testing.T) {
	tr := newTier(t, 1, 0)
	const top = 500
	for i, times := range [][]int64{{top, 3, top, 9}, {top, 4}, {8, record.NoTimestamp}} {
		src := segfile.Source{Cluster: cluster, Partition: partition, Base: ident.Offset(i * 10), ID: segfiletest.NewID(i)}
		var data []byte
		for k, ts := range times {
			p := record.DefaultParams(record.None, ts)
			p.BaseOffset = int64(i*10 + k*2)
			b := record.NewBuilder(p)
			for d := range int32(2) {
				if err := b.Append(&record.Record{OffsetDelta: d}); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := b.Finish(-1)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, raw...)
		}
		src.End, src.Data, src.DataBytes = src.Base+10, bytes.NewReader(data), int64(len(data))
		obj, err := segfile.Build(src, segfile.Options{IndexIntervalBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		if tr.list, err = tr.list.Append(obj.Segment); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.store.Put(t.Context(), tr.key(i), obj, obj.Size(), objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(t, tr.store, Options{})
	for _, c := range []struct {
		from ident.Offset
		off  ident.Offset
		at   int64
	}{
		{0, 0, top}, {1, 1, top}, {2, 4, top}, {4, 4, top}, {5, 5, top}, {6, 10, top},
		{10, 10, top}, {11, 11, top}, {12, 20, 8}, {20, 20, 8}, {21, 21, 8}, {22, -1, -1},
	} {
		off, at, found, err := r.MaxTimestamp(t.Context(), partition, tr.list, c.from)
		if err != nil || off != c.off || at != c.at || found != (c.off >= 0) {
			t.Errorf("from %d: %d at %d, %v, %v; want %d at %d", c.from, off, at, found, err, c.off, c.at)
		}
	}
}
