package partition

import (
	"encoding/binary"
	"sort"

	"github.com/varvelog/varve/internal/ident"
)

// epochStart says which offset was the first of a leader epoch.
type epochStart struct {
	epoch ident.Epoch
	start ident.Offset
}

// epochs is the leader epoch cache (KIP-101): ascending, one entry for each
// epoch under which a batch was appended. It is immutable; note and trim return
// another one, so readers need no lock.
type epochs []epochStart

// note records that a batch of an epoch begins at an offset. An epoch that has no
// batch left, since the log start passed the last one, is forgotten then: starts
// ascend.
func (e epochs) note(epoch ident.Epoch, start ident.Offset) epochs {
	n := len(e)
	if n > 0 && e[n-1].epoch >= epoch {
		return e
	}
	for n > 0 && e[n-1].start >= start {
		n--
	}
	return append(e[:n:n], epochStart{epoch, start})
}

// newest returns the last entry, and epoch -1 if there is none.
func (e epochs) newest() epochStart {
	if len(e) == 0 {
		return epochStart{epoch: -1}
	}
	return e[len(e)-1]
}

// trim forgets epochs that end at or below the log start. The one that holds
// the log start begins there from now on.
func (e epochs) trim(logStart ident.Offset) epochs {
	n := 0
	for n+1 < len(e) && e[n+1].start <= logStart {
		n++
	}
	if len(e) == 0 || n == 0 && e[0].start >= logStart {
		return e
	}
	out := append(epochs(nil), e[n:]...)
	out[0].start = max(out[0].start, logStart)
	return out
}

// end answers OffsetForLeaderEpoch: the largest epoch that is not above the one
// asked for, and the offset at which the next one begins; logEnd for the newest.
// An epoch before all that are known ends where they begin. One that is above
// the current one is answered with -1 and -1.
func (e epochs) end(asked ident.Epoch, current ident.Epoch, logEnd ident.Offset) (ident.Epoch, ident.Offset) {
	if asked == current {
		return asked, logEnd
	}
	if asked > current || asked < 0 {
		return -1, -1
	}
	if len(e) == 0 {
		return asked, logEnd
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].epoch > asked })
	if i == len(e) {
		return e[i-1].epoch, logEnd
	}
	if i == 0 {
		return asked, e[0].start
	}
	return e[i-1].epoch, e[i].start
}

// at returns the epoch of the batch that holds an offset, -1 if it is unknown.
func (e epochs) at(o ident.Offset) ident.Epoch {
	i := sort.Search(len(e), func(i int) bool { return e[i].start > o })
	if i == 0 {
		return -1
	}
	return e[i-1].epoch
}

// EpochStart says which offset was the first of a leader epoch.
type EpochStart struct {
	Epoch ident.Epoch
	Start ident.Offset
}

// between returns the epochs of the offsets from base to end, exclusive. The
// first may begin before base.
func (e epochs) between(base, end ident.Offset) epochs {
	last := sort.Search(len(e), func(i int) bool { return e[i].start >= end })
	first := sort.Search(last, func(i int) bool { return e[i].start > base })
	return e[max(first-1, 0):last]
}

func (e epochs) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(e)))
	for _, s := range e {
		b = le.AppendUint32(b, uint32(s.epoch))
		b = le.AppendUint64(b, uint64(s.start))
	}
	return b
}

func decodeEpochs(b []byte) (epochs, []byte, error) {
	le := binary.LittleEndian
	if len(b) < 4 {
		return nil, nil, errState
	}
	n := int(le.Uint32(b))
	b = b[4:]
	if n > len(b)/12 {
		return nil, nil, errState
	}
	var e epochs
	for range n {
		s := epochStart{ident.Epoch(le.Uint32(b)), ident.Offset(le.Uint64(b[4:]))}
		b = b[12:]
		if k := len(e); k > 0 && (s.epoch <= e[k-1].epoch || s.start < e[k-1].start) {
			return nil, nil, errState
		}
		if k := len(e); k > 0 && e[k-1].start == s.start {
			e = e[:k-1] // as note does it
		}
		e = append(e, s)
	}
	return e, b, nil
}
