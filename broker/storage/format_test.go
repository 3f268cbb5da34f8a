package storage

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

func goldenIndex() []byte {
	b := appendIndexHeader(nil, 5)
	b = appendBlocks(b, []indexEntry{{0, 0, 1000}, {7, 4200, 1001}})
	return appendFooter(b, footer{base: 5, end: 20, bytes: 9000, maxTime: 1002, maxTimeAt: 17, firstTime: 1000})
}

func TestGoldenBytes(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"index", hex.EncodeToString(goldenIndex()), goldenIndexHex},
		{"position", hex.EncodeToString(goldenPosition().Append(nil)), goldenPositionHex},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}

const (
	// header, block of two entries, footer
	goldenIndexHex = "5641525645494458" + "01000000" + "00000000" + "0500000000000000" + "00000000" + "8b366d56" +
		"02000000" + "b2c0362a" + "00000000" + "00000000" + "e803000000000000" + "07000000" + "68100000" + "e903000000000000" +
		"ffffffff" + "d6b309de" + "0500000000000000" + "1400000000000000" + "2823000000000000" +
		"ea03000000000000" + "1100000000000000" + "e803000000000000"
	goldenPositionHex = "010204d804009003d08c019001d041d40fb203d00fd204"
)

func goldenPosition() Position {
	return Position{
		LogStart: 1, LocalStart: 2, LogEnd: 300, FirstBase: 0, ActiveBase: 200, ActiveBytes: 9000,
		ActiveIndexBytes: 72, ActiveIndexed: 4200, ActiveMaxTimestamp: 1002, ActiveMaxTimestampOffset: 217,
		ActiveFirstTimestamp: 1000, ActiveEnd: 297,
	}
}

func TestPositionRefuses(t *testing.T) {
	good := goldenPosition()
	change := map[string]func(p *Position){
		"start above end":  func(p *Position) { p.LogStart = 301 },
		"local above end":  func(p *Position) { p.LocalStart = 301 },
		"negative":         func(p *Position) { p.LogStart = -1 },
		"first above":      func(p *Position) { p.FirstBase = 201 },
		"no first":         func(p *Position) { p.FirstBase = -1 },
		"active above end": func(p *Position) { p.ActiveBase = 301 },
		"bytes":            func(p *Position) { p.ActiveBytes = -1 },
		"bytes, no active": func(p *Position) { p.ActiveBase, p.FirstBase = -1, -1 },
		"index":            func(p *Position) { p.ActiveIndexBytes = 1 << 40 },
		"indexed":          func(p *Position) { p.ActiveIndexed = 9000 },
		"end of no batch":  func(p *Position) { p.ActiveEnd = 200 },
		"end above end":    func(p *Position) { p.ActiveEnd = 301 },
	}
	if p, rest, err := DecodePosition(append(good.Append(nil), 1, 2)); err != nil || p != good || len(rest) != 2 {
		t.Fatalf("%+v, %d, %v", p, len(rest), err)
	}
	for _, version := range []byte{positionVersion - 1, positionVersion + 1} {
		b := good.Append(nil)
		b[0] = version
		if _, _, err := DecodePosition(b); !errors.Is(err, ErrPosition) || !strings.Contains(err.Error(), fmt.Sprintf("version %d", version)) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	for name, f := range change {
		p := good
		f(&p)
		if _, _, err := DecodePosition(p.Append(nil)); !errors.Is(err, ErrPosition) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodePosition(f *testing.F) {
	f.Add(goldenPosition().Append(nil))
	f.Add(EmptyPosition(12).Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, rest, err := DecodePosition(b)
		if err != nil {
			if !errors.Is(err, ErrPosition) {
				t.Fatal(err)
			}
			return
		}
		again, left, err := DecodePosition(append(p.Append(nil), rest...))
		if err != nil || again != p || len(left) != len(rest) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(goldenIndex(), int64(5))
	f.Add(appendBlocks(appendIndexHeader(nil, 0), []indexEntry{{0, 0, -1}}), int64(0))
	f.Add([]byte(indexMagic), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, base int64) {
		for _, fixed := range []bool{false, true} {
			if fixed {
				b = fixCRCs(slices.Clone(b))
			}
			entries, foot, err := parseIndex(b, ident.Offset(base))
			if err != nil {
				if !errors.Is(err, ErrIndex) {
					t.Fatal(err)
				}
				continue
			}
			if int64(len(entries))*indexEntrySize > int64(len(b)) || (foot != nil && foot.end < foot.base) {
				t.Fatalf("%d entries, footer %+v from %d bytes", len(entries), foot, len(b))
			}
			for i := 1; i < len(entries); i++ {
				if !entries[i-1].before(entries[i]) {
					t.Fatalf("entry %d does not ascend", i)
				}
			}
		}
	})
}

// fixCRCs makes the checksums of an index right wherever its lengths allow, so
// that the fuzzer gets behind them.
func fixCRCs(b []byte) []byte {
	if len(b) < indexHeaderSize {
		return b
	}
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	for rest := b[indexHeaderSize:]; len(rest) >= indexBlockSize; {
		n := int64(binary.LittleEndian.Uint32(rest))
		size := indexBlockSize + n*indexEntrySize
		if n == indexFooterMark {
			size = indexFooterSize
		}
		if size > int64(len(rest)) {
			return b
		}
		binary.LittleEndian.PutUint32(rest[4:], blockCRC(rest[:size]))
		rest = rest[size:]
	}
	return b
}
