package storage

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/varvelog/varve/internal/ident"
)

// maxBatchBytes bounds a batch: its length field is an int32.
const maxBatchBytes = math.MaxInt32

const (
	dataSuffix  = ".log"
	indexSuffix = ".index"
	tempSuffix  = ".index.tmp"
)

// segment is one file of the log and what is known about it. base and the names
// never change. Everything else is written by the owner under the log's mutex.
type segment struct {
	base ident.Offset
	data string // file name
	idx  string // name of the index file

	end     ident.Offset // if sealed: base offset of the next segment
	sealed  bool
	bytes   int64 // appended
	written int64 // in the file
	synced  int64 // durable in the file

	created    bool         // the data file exists
	closed     bool         // the footer is durable
	pending    []indexEntry // entries that are not in the index file
	persisted  int          // entries that were added to the file since the log was opened
	indexBytes int64        // durable length of the index file, 0: none
	indexed    int64        // position of the last entry, -1: none

	maxTime   int64
	maxTimeAt ident.Offset
	firstTime int64
	next      ident.Offset // behind the last batch, -1: there is none

	busy      int  // runs and syncs in flight
	discarded bool // garbage: what is unwritten will not be written

	gone atomic.Bool // nothing of it may enter the cache any more
}

func newSegment(dir string, base ident.Offset) *segment {
	stem := path.Join(dir, fmt.Sprintf("%020d", base))
	return &segment{
		base: base, data: stem + dataSuffix, idx: stem + indexSuffix,
		indexed: -1, maxTime: noTimestamp, maxTimeAt: -1, firstTime: noTimestamp, next: -1,
	}
}

// parseName returns the base offset and the suffix of a file of a log.
func parseName(name string) (base ident.Offset, suffix string, ok bool) {
	if len(name) < 20 {
		return 0, "", false
	}
	digits, suffix := name[:20], name[20:]
	if suffix != dataSuffix && suffix != indexSuffix && suffix != tempSuffix {
		return 0, "", false
	}
	if strings.Trim(digits, "0123456789") != "" {
		return 0, "", false
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	return ident.Offset(v), suffix, err == nil
}

// fits reports whether a batch may follow in this segment.
func (g *segment) fits(last ident.Offset, size, segmentBytes int64) bool {
	if int64(last-g.base) > maxRelativeOffset {
		return false
	}
	return g.bytes == 0 || g.bytes+size <= segmentBytes
}

// add accounts for a batch behind what is there. It indexes it if the interval is
// over, or if its base offset does not follow from the batch before: readers know
// it by the index then. It returns the batch's position.
func (g *segment) add(base, last ident.Offset, maxTime, size, interval int64) int64 {
	pos := g.bytes
	if pos == 0 {
		g.firstTime = maxTime
	}
	if maxTime > g.maxTime {
		g.maxTime, g.maxTimeAt = maxTime, base
	}
	if g.indexed < 0 || pos-g.indexed >= interval || base != g.next {
		g.pending = append(g.pending, indexEntry{uint32(base - g.base), uint32(pos), g.maxTime})
		g.indexed = pos
	}
	g.bytes += size
	g.next = last + 1
	return pos
}

func (g *segment) footer() footer {
	return footer{g.base, g.end, g.bytes, g.maxTime, g.maxTimeAt, g.firstTime}
}

// info describes the segment; end is the log end for the active one.
func (g *segment) info(logEnd ident.Offset) SegmentInfo {
	end := logEnd
	if g.sealed {
		end = g.end
	}
	return SegmentInfo{
		Base: g.base, End: end, Bytes: g.bytes,
		MaxTimestamp: g.maxTime, FirstTimestamp: g.firstTime,
	}
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	Base           ident.Offset // first offset it may hold
	End            ident.Offset // exclusive: base of the next segment, or the log end
	Bytes          int64
	MaxTimestamp   int64 // largest timestamp in ms, -1: none
	FirstTimestamp int64 // largest timestamp of the first batch in ms, -1: none
}
