package remote

import (
	"sync"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
)

// streamKey is where a sequential reader will read on. Readers of one partition
// at one position are one.
type streamKey struct {
	p    ident.Partition
	next ident.Offset
}

// stream is what is known of a sequential reader.
type stream struct {
	window int     // chunks ahead
	chunk  ChunkID // in which its last read began
	at     time.Time
}

// streams are the sequential readers that read lately.
type streams struct {
	max  int
	age  time.Duration
	open int // the widest window

	mu sync.Mutex
	of *lru[streamKey, stream]
}

func newStreams(max int, age time.Duration, open int) *streams {
	return &streams{max: max, age: age, open: open, of: newLRU[streamKey, stream]()}
}

// step returns the stream of a read that begins at key, in chunk. One that goes
// on where another ended has a window, which doubles with each chunk it comes
// to; any other has none.
func (s *streams) step(key streamKey, chunk ChunkID, now time.Time) stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.of.get(key)
	switch {
	case !ok || now.Sub(st.at) > s.age:
		s.of.remove(key)
		st = stream{}
	case st.window == 0:
		st.window = 1
	case st.chunk != chunk:
		st.window *= 2
	}
	st.window = max(min(st.window, s.open), 0)
	st.chunk, st.at = chunk, now
	return st
}

// move notes that a read ended, and where.
func (s *streams) move(from, to streamKey, st stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.remove(from)
	if other := s.of.peek(to); other != nil && st.at.Sub(other.at) <= s.age {
		st.window = max(st.window, other.window)
	}
	s.of.put(to, st, 1)
	if s.of.len() > s.max {
		oldest, _, _ := s.of.oldest()
		s.of.remove(oldest)
	}
}

// readAhead starts the downloads of the window of so many chunks behind the one
// that begins at off in the object of segment i. It goes on in the next
// segments, tail first, since nothing can be read without that.
func (r *Reader) readAhead(p ident.Partition, list manifest.List, i int, off int64, window int) {
	if window <= 0 {
		return
	}
	size := int64(r.o.ChunkBytes)
	o := r.object(p, list.At(i))
	for off += size; window > 0; {
		if off < o.seg.TailOffset() {
			if !r.prefetch(&o, off) {
				return
			}
			window--
			off += size
			continue
		}
		if i++; i == list.Len() {
			return
		}
		o, off = r.object(p, list.At(i)), 0
		if r.tails.has(o.id) {
			continue
		}
		for at := r.chunkStart(o.seg.TailOffset()); at < o.seg.ObjectBytes && window > 0; at += size {
			if !r.prefetch(&o, at) {
				return
			}
			window--
		}
	}
}
