package repair

import (
	"bytes"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

// raw returns the batches of a partition by base offset, as they are served.
func (l *life) raw(p ident.Partition) map[int64][]byte {
	l.t.Helper()
	out := map[int64][]byte{}
	r := l.n.Replica(p)
	o, err := r.Partition.Offsets()
	l.must(err)
	for at := o.LogStart; at < o.HighWatermark; {
		c, err := r.Partition.Read(at, o.HighWatermark, 1<<20, true)
		l.must(err)
		for raw, err := range record.Batches(bytes.Join(c.Buffers, nil)) {
			l.must(err)
			out[baseOf(raw)] = bytes.Clone(raw)
		}
		if c.NextOffset <= at {
			l.t.Fatalf("reading stands still at %d", at)
		}
		at = c.NextOffset
	}
	return out
}

// appliedHistory ends with a start whose batches fill segments, which are written
// when they are closed, with no checkpoint behind, and returns what the first
// partition serves then.
func appliedHistory(t testing.TB) (*life, *vfs.Mem, map[int64][]byte) {
	l, fs := quietHistory(t)
	l.must(l.open())
	l.checkpoint()
	for range 12 {
		for _, p := range l.parts {
			l.produce(p, 5, true)
		}
	}
	served := l.raw(l.parts[0])
	l.n.Close()
	return l, fs, served
}

// lostEntries damages one write after another in the newest file of the log, and
// calls each where entries are lost of which the files of the first partition still
// have the batches.
func lostEntries(t testing.TB, l *life, fs *vfs.Mem, each func(disk *vfs.Mem, p *PartitionReport)) {
	n, name := 0, newestLog(t, fs)
	off := int64(wal.FileHeaderBytes)
	for _, w := range writes(t, fs, name) {
		disk := clone(t, fs)
		spoil(t, disk, name, off+wal.WriteHeaderBytes+60) // the data of its first record
		off += w.Bytes
		r, err := Inspect(disk, options(1))
		l.must(err)
		if p := r.Partition(l.parts[0].Topic.Hex(), 0); p != nil && p.Recovered > 1 {
			n++
			each(disk, p)
		}
	}
	if n == 0 {
		t.Fatal("no entry was lost of which a file has the batch")
	}
}

// TestBatchesTakenBackKeepTheirEpoch: what a reader was told under a leader epoch
// is there under it after a repair that took it back from a segment.
func TestBatchesTakenBackKeepTheirEpoch(t *testing.T) {
	l, fs, served := appliedHistory(t)
	lostEntries(t, l, fs, func(disk *vfs.Mem, p *PartitionReport) {
		c := l.copyOf(t, disk)
		c.repaired()
		c.must(c.open())
		got := c.raw(c.parts[0])
		for base, want := range served {
			if b, ok := got[base]; base < p.End && (!ok || !bytes.Equal(b, want)) {
				t.Fatalf("%d batches were taken back; offset %d: there %v, leader epoch %v, was %v", p.Recovered, base, ok, epochOf(b), epochOf(want))
			}
		}
		c.n.Close()
	})
}

func epochOf(b []byte) int32 {
	h, err := record.ParseHeader(b)
	if err != nil {
		return -1
	}
	return h.LeaderEpoch
}

// TestBatchTakenBackIsMended: a wrong bit in a batch that only a segment still has
// is put right before the batch becomes an entry again.
func TestBatchTakenBackIsMended(t *testing.T) {
	l, fs, served := appliedHistory(t)
	lostEntries(t, l, fs, func(disk *vfs.Mem, p *PartitionReport) {
		first := p.End - int64(p.Recovered) // one record each
		want := served[first]
		name, at := find(t, disk, l.parts[0], want)
		for _, in := range []int64{9, 17, 22, 26, 40, 60, int64(len(want)) - 1} { // length, checksum, other fields, records
			c := l.copyOf(t, clone(t, disk))
			flip(t, c.fs, name, at+in, 5)
			again := c.repaired().Partition(c.parts[0].Topic.Hex(), 0)
			if again == nil || again.Recovered != p.Recovered || again.End != p.End {
				t.Fatalf("byte %d of a batch: %+v, without that %+v", in, again, p)
			}
			c.must(c.open())
			if got := c.raw(c.parts[0])[first]; !bytes.Equal(got, want) {
				t.Fatalf("byte %d of the batch at %d is not put right", in, first)
			}
			c.n.Close()
		}
	})
}

// find returns where a batch lies in the segments of a partition.
func find(t testing.TB, fs vfs.FS, p ident.Partition, batch []byte) (string, int64) {
	t.Helper()
	for name := range files(t, fs, "partitions") {
		if !strings.Contains(name, p.Dir()+".") || !strings.HasSuffix(name, dataSuffix) {
			continue
		}
		b, err := vfs.ReadFile(fs, name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, batch); at >= 0 {
			return name, int64(at)
		}
	}
	t.Fatal("no segment has the batch")
	return "", 0
}
