package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/internal/vfs"
)

const testDir = "logs/00000000000000000000000000000001-0"

// testBatch is one batch as it was appended and as it must be read.
type testBatch struct {
	base, last ident.Offset
	epoch      ident.Epoch
	maxTime    int64
	times      []int64 // of the record at each delta, -1: no record
	payload    []byte
	stored     []byte
}

// makeBatch builds a batch at base whose records have the given timestamps.
func makeBatch(t testing.TB, base ident.Offset, epoch ident.Epoch, times []int64, valueSize int, rng *rand.Rand) testBatch {
	t.Helper()
	value := make([]byte, valueSize)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	b := record.NewBuilder(record.Params{
		BaseTimestamp: times[0], ProducerID: record.NoProducerID,
		ProducerEpoch: record.NoProducerEpoch, BaseSequence: record.NoSequence,
	})
	out := testBatch{base: base, last: base + ident.Offset(len(times)-1), epoch: epoch, maxTime: -1, times: times}
	for i, ts := range times {
		err := b.Append(&record.Record{OffsetDelta: int32(i), TimestampDelta: ts - times[0], Value: value})
		if err != nil {
			t.Fatal(err)
		}
		out.maxTime = max(out.maxTime, ts)
	}
	payload, err := b.Finish(int32(len(times) - 1))
	if err != nil {
		t.Fatal(err)
	}
	out.payload = payload
	out.stored = bytes.Clone(payload)
	if err := record.SetPlacement(out.stored, int64(base), int32(epoch)); err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *testBatch) appendTo(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Append(b.base, b.last, b.epoch, b.maxTime, b.payload); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, fs vfs.FS, at Position, set Settings, cache *Cache) *Log {
	t.Helper()
	l, err := Open(fs, testDir, at, set, cache)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// flush writes everything and makes it durable.
func flush(t testing.TB, l *Log) Position {
	t.Helper()
	for {
		r, ok := l.NextRun(0)
		if !ok {
			break
		}
		err := l.DoRun(r)
		l.RunDone(r, err)
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.PlanSync(l.Mark())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Do()
	l.SyncDone(s, err)
	if err != nil {
		t.Fatal(err)
	}
	return s.Position()
}

// content joins the pieces of a chunk.
func content(c Chunk) []byte { return bytes.Join(c.Buffers, nil) }

// model is what a log must answer.
type model struct {
	start ident.Offset
	end   ident.Offset
	list  []testBatch
}

// read answers Read by a full scan.
func (m *model) read(from, until ident.Offset, maxBytes int, minOne bool) ([]byte, ident.Offset, error) {
	if from < m.start {
		return nil, from, ErrBelowStart
	}
	if from > m.end {
		return nil, from, ErrBeyondEnd
	}
	until = min(until, m.end)
	var out []byte
	next := from
	for _, b := range m.list {
		if b.last < from {
			continue
		}
		if b.last >= until {
			break
		}
		if len(out)+len(b.stored) > maxBytes && (len(out) > 0 || !minOne) {
			return out, next, nil
		}
		out, next = append(out, b.stored...), b.last+1
	}
	return out, next, nil
}

func (m *model) check(t testing.TB, l *Log, from, until ident.Offset, maxBytes int, minOne bool) {
	t.Helper()
	want, next, wantErr := m.read(from, until, maxBytes, minOne)
	c, err := l.Read(from, until, maxBytes, minOne)
	if wantErr != nil || err != nil {
		if wantErr == nil || !errors.Is(err, wantErr) {
			t.Fatalf("read [%d, %d): error %v, want %v", from, until, err, wantErr)
		}
		return
	}
	got := content(c)
	if !bytes.Equal(got, want) {
		t.Fatalf("read [%d, %d) max %d: %d bytes, want %d (log [%d, %d))", from, until, maxBytes, len(got), len(want), m.start, m.end)
	}
	if c.Bytes != len(got) || (len(got) > 0 && c.NextOffset < next) {
		t.Fatalf("read [%d, %d): %d bytes of %d, next %d, want %d", from, until, c.Bytes, len(got), c.NextOffset, next)
	}
	m.checkNext(t, c, from, until)
}

// checkNext checks that no batch lies between a chunk's batches and NextOffset.
func (m *model) checkNext(t testing.TB, c Chunk, from, until ident.Offset) {
	t.Helper()
	until = max(min(until, m.end), from)
	if c.NextOffset < from || c.NextOffset > until {
		t.Fatalf("read [%d, %d): next %d", from, until, c.NextOffset)
	}
	n := 0
	for _, b := range m.list {
		if b.last >= from && b.last < c.NextOffset {
			n++
		}
	}
	if n != c.Batches {
		t.Fatalf("read [%d, %d): next %d, behind %d batches, has %d", from, until, c.NextOffset, n, c.Batches)
	}
}

// checkTimes compares lookups by time with a scan of all records.
func (m *model) checkTimes(t testing.TB, l *Log, until ident.Offset, ts int64) {
	t.Helper()
	wantOff, wantAt, maxOff, maxAt := ident.Offset(-1), int64(-1), ident.Offset(-1), int64(-1)
	for _, b := range m.list {
		for i, at := range b.times {
			off := b.base + ident.Offset(i)
			if off < m.start || off >= until {
				continue
			}
			if at >= ts && wantOff < 0 {
				wantOff, wantAt = off, at
			}
			if at > maxAt {
				maxOff, maxAt = off, at
			}
		}
	}
	off, at, found, err := l.OffsetForTimestamp(ts, until)
	if err != nil || off != wantOff || at != wantAt || found != (wantOff >= 0) {
		t.Fatalf("timestamp %d below %d: (%d, %d, %v, %v), want (%d, %d)", ts, until, off, at, found, err, wantOff, wantAt)
	}
	off, at, found, err = l.MaxTimestamp(until)
	if err != nil || off != maxOff || at != maxAt || found != (maxOff >= 0) {
		t.Fatalf("max timestamp below %d: (%d, %d, %v, %v), want (%d, %d)", until, off, at, found, err, maxOff, maxAt)
	}
}
