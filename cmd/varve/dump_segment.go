package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
)

// scanBuffer is how much of a file is read at once where it is searched.
const scanBuffer = 1 << 20

// searchBytesMax bounds how many bytes a search checks sums of: lengths that lie
// must not make it endless.
const searchBytesMax = 1 << 30

// looksLikeBatch says whether a record batch may begin here.
func looksLikeBatch(b []byte) bool {
	_, err := record.ParseHeader(b)
	return err == nil
}

// dumpSegment reads a segment. How long a sealed one is its index says, and then
// it holds nothing else. Of one without, the active one, that is not known: what
// it ends with may be half a batch that is just being written.
func dumpSegment(d *dumper) error {
	if n, sealed := sealedBytes(d.file); sealed {
		if n > d.size {
			if err := d.damage(d.size, "the segment has %d bytes by its index, and %d here", n, d.size); err != nil {
				return err
			}
		}
		d.sealed, d.size, d.named = true, min(n, d.size), indexedBatches(d.file)
	}
	end, err := d.batches(0, d.size)
	if err != nil || end == d.size {
		return err
	}
	return d.behind(end)
}

// sealedBytes returns how long a segment is by the footer of its index. Without
// one that is whole it is not known to be sealed.
func sealedBytes(name string) (int64, bool) {
	stem, found := strings.CutSuffix(name, ".log")
	if !found {
		return 0, false
	}
	f, err := os.Open(stem + ".index")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < indexHeader+indexFooter {
		return 0, false
	}
	b := make([]byte, indexFooter)
	if _, err := f.ReadAt(b, info.Size()-indexFooter); err != nil {
		return 0, false
	}
	le := binary.LittleEndian
	if le.Uint32(b) != indexFooterMark || le.Uint32(b[4:]) != crcAround(b, 4) || int64(le.Uint64(b[24:])) < 0 {
		return 0, false
	}
	return int64(le.Uint64(b[24:])), true
}

// indexedBatches reads the base offsets that the index of a segment names, whose own
// checksums do not cover them. It is nil if there is no whole index.
func indexedBatches(name string) map[int64]ident.Offset {
	stem, _ := strings.CutSuffix(name, ".log")
	base, err := strconv.ParseUint(filepath.Base(stem), 10, 63)
	if err != nil {
		return nil
	}
	info, err := os.Stat(stem + ".index")
	if err != nil || info.Size() > indexBytesMax {
		return nil
	}
	b, err := os.ReadFile(stem + ".index")
	if err != nil {
		return nil
	}
	named, err := storage.IndexedBatches(b, ident.Offset(base))
	if err != nil {
		return nil
	}
	return named
}

// due returns the base offset of the batch at a position if it is known: the index
// names it, or it follows the batch that ends before next.
func (d *dumper) due(at, next int64) (int64, bool) {
	if base, ok := d.named[at]; ok {
		return int64(base), true
	}
	return next, d.named != nil && next >= 0
}

// batches prints the record batches from one byte of the file to another, and
// returns where no more begins. It goes on behind a batch whose length is right
// and whose content is not.
func (d *dumper) batches(at, end int64) (int64, error) {
	head := make([]byte, record.HeaderSize)
	var batch []byte
	next := int64(-1) // the offset behind the last good batch
	epoch := int32(-1)
	for end-at >= record.HeaderSize {
		if err := d.read(head, at); err != nil {
			return at, err
		}
		h, err := record.ParseHeader(head)
		if err != nil {
			return at, nil
		}
		if int64(h.Size()) > end-at {
			return at, nil
		}
		if batch, err = d.grow(batch, h.Size(), at); err != nil {
			return at, err
		}
		crc := record.VerifyCRC(batch)
		if err := d.item("batch", at, d.batchFields(&h, crc)...); err != nil {
			return at, err
		}
		due, known := d.due(at, next)
		switch {
		case !crc:
			err = d.damage(at, "the checksum of the batch from offset %d is wrong", h.BaseOffset)
			if d.named != nil {
				next = -1 // it does not tell
			}
		case known && h.BaseOffset != due:
			err = d.damage(at, "a batch from offset %d, where the index has %d", h.BaseOffset, due)
			next = due + int64(h.LastOffsetDelta) + 1
		case h.LeaderEpoch < epoch:
			err = d.damage(at, "leader epoch %d behind %d", h.LeaderEpoch, epoch)
			next, epoch = h.LastOffset()+1, h.LeaderEpoch
		case h.BaseOffset < next || h.LastOffset() < h.BaseOffset:
			err = d.damage(at, "offsets %d to %d do not follow offset %d", h.BaseOffset, h.LastOffset(), next-1)
		default:
			next, epoch = h.LastOffset()+1, h.LeaderEpoch
			err = d.batchRecords(batch, &h, at)
		}
		if err != nil {
			return at, err
		}
		at += int64(h.Size())
	}
	return at, nil
}

// grow reads n bytes, which lie in the file, and reuses b.
func (d *dumper) grow(b []byte, n int, at int64) ([]byte, error) {
	if cap(b) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	return b, d.read(b, at)
}

// behind says what lies behind the last batch of a segment: zeros up to a
// multiple of 4096 bytes are padding, and anything may lie behind the end of an
// active segment after a crash. It is damage if batches follow again.
func (d *dumper) behind(at int64) error {
	zeros, err := d.zeros(at)
	if err != nil {
		return err
	}
	if at+zeros == d.size {
		return d.item("padding", at, field{"bytes", zeros})
	}
	found, err := d.search(at+1, d.size)
	if err != nil {
		return err
	}
	left := d.size - at
	switch {
	case found < 0 && d.sealed:
		return d.damage(at, "no batch begins here that ends in the file, and %d bytes follow", left)
	case found < 0 && d.headerAt(at):
		return d.item("unfinished", at, field{"bytes", left}, field{"about", "the begin of a batch: what is being written, or remains of a crash"})
	case found < 0:
		return d.item("remains", at, field{"bytes", left}, field{"about", "no batch begins here: what is being written, or remains of a crash"})
	}
	if err := d.damage(at, "no batch begins here that is whole, the next one does %d bytes further on", found-at); err != nil {
		return err
	}
	end, err := d.batches(found, d.size)
	if err != nil || end == d.size {
		return err
	}
	return d.behind(end)
}

// headerAt says whether the header of a batch is at a position.
func (d *dumper) headerAt(at int64) bool {
	b := make([]byte, record.HeaderSize)
	return d.size-at >= record.HeaderSize && d.read(b, at) == nil && looksLikeBatch(b)
}

// zeros returns how many zero bytes follow from a position on.
func (d *dumper) zeros(at int64) (int64, error) {
	var b []byte
	for p := at; p < d.size; p += scanBuffer {
		var err error
		if b, err = d.grow(b, int(min(scanBuffer, d.size-p)), p); err != nil {
			return 0, err
		}
		if i := len(b) - len(bytes.TrimLeft(b, "\x00")); i < len(b) {
			return p + int64(i) - at, nil
		}
	}
	return d.size - at, nil
}

// search returns where the next batch with a right checksum begins, or -1.
func (d *dumper) search(from, end int64) (int64, error) {
	var b, batch []byte
	budget := int64(searchBytesMax)
	for p := from; p < end && budget > 0; p += scanBuffer {
		var err error
		// The header of the last one may lie in what follows.
		if b, err = d.grow(b, int(min(scanBuffer+record.HeaderSize-1, end-p)), p); err != nil {
			return -1, err
		}
		for i := 0; i < len(b)-record.HeaderSize && i < scanBuffer && budget > 0; i++ {
			if b[i+16] != record.Magic {
				continue
			}
			h, err := record.ParseHeader(b[i:])
			if at := p + int64(i); err == nil && h.Count > 0 && int64(h.Size()) <= end-at {
				if batch, err = d.grow(batch, h.Size(), at); err != nil {
					return -1, err
				}
				budget -= int64(len(batch))
				if record.VerifyCRC(batch) {
					return at, nil
				}
			}
		}
	}
	return -1, nil
}
