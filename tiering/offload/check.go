package offload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/segfile"
)

// readBytes is how much is read back at once.
const readBytes = 4 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// check compares what the store has with what was to be stored.
type check struct {
	store objstore.Store
	key   string
	obj   *segfile.Object
	stats *Stats
	full  bool // the data is read back whatever the store vouches for
}

// run returns nil if the object is there and right. It fails with ErrUnverified
// if it is not, or with what the store said.
func (c *check) run(ctx context.Context) error {
	info, err := c.store.Head(ctx, c.key)
	if err != nil {
		return missing(err)
	}
	if info.Size != c.obj.Size() {
		return fmt.Errorf("%w: %s has %d bytes, not %d", ErrUnverified, c.key, info.Size, c.obj.Size())
	}
	seg := &c.obj.Segment
	if err := c.same(ctx, seg.TailOffset(), c.obj.Tail()); err != nil {
		return fmt.Errorf("the tail: %w", err)
	}
	if !c.full && info.Checksum != "" && info.Checksum == c.obj.Checksum() {
		c.stats.ByChecksum.Add(1)
		return nil
	}
	if err := c.same(ctx, 0, c.obj.Header()); err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	crc := uint32(0)
	err = c.read(ctx, manifest.DataOffset, seg.DataBytes, func(b []byte) bool {
		crc = crc32.Update(crc, castagnoli, b)
		return true
	})
	if err != nil {
		return fmt.Errorf("the data: %w", err)
	}
	if crc != c.obj.DataCRC() {
		return fmt.Errorf("%w: the data of %s has another checksum", ErrUnverified, c.key)
	}
	c.stats.ByReadBack.Add(1)
	return nil
}

// same reads a part back and compares it.
func (c *check) same(ctx context.Context, off int64, want []byte) error {
	return c.read(ctx, off, int64(len(want)), func(b []byte) bool {
		ok := bytes.Equal(b, want[:len(b)])
		want = want[len(b):]
		return ok
	})
}

// read reads n bytes from off back, in pieces, until one is not ok.
func (c *check) read(ctx context.Context, off, n int64, ok func([]byte) bool) error {
	buf := make([]byte, min(n, readBytes))
	for ; n > 0; n -= int64(len(buf)) {
		buf = buf[:min(n, int64(len(buf)))]
		if err := c.store.GetRange(ctx, c.key, off, buf); err != nil {
			return missing(err)
		}
		c.stats.ReadBackBytes.Add(int64(len(buf)))
		if !ok(buf) {
			return fmt.Errorf("%w: %s differs in the %d bytes from %d", ErrUnverified, c.key, len(buf), off)
		}
		off += int64(len(buf))
	}
	return nil
}

// missing makes ErrUnverified out of an object that is not there, or not whole,
// although it was put.
func missing(err error) error {
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrShort) {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return err
}
