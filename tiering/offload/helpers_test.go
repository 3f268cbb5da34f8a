package offload_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/offload"
	"github.com/varvelog/varve/tiering/segfile"
	"github.com/varvelog/varve/tiering/segfile/segfiletest"
)

const cluster = "cluster-1"

func open(t testing.TB, url string) objstore.Store {
	t.Helper()
	st, err := objstore.Open(t.Context(), url, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// segment is of about 100 KiB.
var segment = sync.OnceValue(func() segfile.Source {
	src, _ := segfiletest.Segment(3, segfiletest.Shape{Base: 20, Batches: 40, ValueSize: 2000})
	return src
})

// job is that segment with an id of its own.
func job(n int) offload.Job {
	src := segment()
	src.Cluster, src.ID = cluster, segfiletest.NewID(n+1)
	return offload.Job{Source: src, Name: "00000000000000000020.log"}
}

func keyOf(j offload.Job) string {
	s := manifest.Segment{Base: j.Base, Term: j.Term, ID: j.ID}
	return s.Key(j.Cluster, j.Partition)
}

// stored reads an object whole, nil if there is none.
func stored(t testing.TB, st objstore.Store, key string) []byte {
	t.Helper()
	info, err := st.Head(context.Background(), key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size)
	if err := st.GetRange(context.Background(), key, 0, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// mustBeRight checks that the store holds the object of a segment that could be
// committed, with the data of the job.
func mustBeRight(t testing.TB, st objstore.Store, j offload.Job, seg manifest.Segment) {
	t.Helper()
	raw := stored(t, st, seg.Key(j.Cluster, j.Partition))
	in, err := segfile.Verify(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || in.Segment != seg || in.Partition != j.Partition {
		t.Fatalf("%+v, %v; want %+v", in, err, seg)
	}
	if _, err := segfile.ParseTail(&seg, j.Partition, raw[seg.TailOffset():]); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(j.Data, 0, j.DataBytes))
	if err != nil || !bytes.Equal(data, raw[manifest.DataOffset:seg.TailOffset()]) {
		t.Fatalf("the data differs (%v)", err)
	}
}

// faulty asks inject what goes wrong; ops counts the calls by kind.
type faulty struct {
	*objstore.Faulty
	inner objstore.Store
	ops   [objstore.OpDelete + 1]atomic.Int64
}

func faultyStore(t testing.TB, inject func(ctx context.Context, op objstore.Op, nth int64) objstore.Fault) *faulty {
	f := &faulty{inner: open(t, "mem://")}
	f.Faulty = objstore.NewFaulty(f.inner, func(ctx context.Context, op objstore.Op) objstore.Fault {
		return inject(ctx, op, f.ops[op.Kind].Add(1))
	})
	return f
}

// tampering changes what it stores: a store that loses bits.
type tampering struct {
	objstore.Store
	change func([]byte) []byte
}

func (s *tampering) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o objstore.PutOptions) (objstore.Info, error) {
	b := make([]byte, size)
	if _, err := body.ReadAt(b, 0); err != nil {
		return objstore.Info{}, err
	}
	b = s.change(b)
	return s.Store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), o)
}

// summing keeps checksums as S3 does: of the object, or of the checksums of its
// parts.
type summing struct {
	objstore.Store
	part int
	lie  string // answered instead
}

func (s *summing) Head(ctx context.Context, key string) (objstore.Info, error) {
	info, err := s.Store.Head(ctx, key)
	if err != nil {
		return info, err
	}
	raw := make([]byte, info.Size)
	if err := s.Store.GetRange(ctx, key, 0, raw); err != nil {
		return info, err
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	var sums []byte
	n := 0
	for ; len(raw) > 0; n++ {
		piece := raw[:min(s.part, len(raw))]
		sums, raw = binary.BigEndian.AppendUint32(sums, crc32.Checksum(piece, table)), raw[len(piece):]
	}
	info.Checksum = "crc32c:" + base64.StdEncoding.EncodeToString(sums)
	if n > 1 {
		all := binary.BigEndian.AppendUint32(nil, crc32.Checksum(sums, table))
		info.Checksum = fmt.Sprintf("crc32c:%s-%d", base64.StdEncoding.EncodeToString(all), n)
	}
	if s.lie != "" {
		info.Checksum = s.lie
	}
	return info, nil
}

// flipLater gives other bytes from the second pass over it on.
type flipLater struct {
	io.ReaderAt
	size   int64
	passed atomic.Bool
}

func (f *flipLater) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	if f.passed.Load() && off <= 1000 && 1000 < off+int64(n) {
		p[1000-off] ^= 4
	}
	if off+int64(n) == f.size {
		f.passed.Store(true)
	}
	return n, err
}

// failLater fails from the second pass over it on.
type failLater struct {
	flipLater
	err error
}

func (f *failLater) ReadAt(p []byte, off int64) (int, error) {
	if f.passed.Load() {
		return 0, f.err
	}
	return f.flipLater.ReadAt(p, off)
}
