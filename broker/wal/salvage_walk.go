package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"github.com/varvelog/varve/internal/ident"
)

// walk reads the log in order, over everything that is damaged.
func (s *salvage) walk() error {
	s.next = map[int64]int{}
	i, begun := 0, false
	s.begins = -1
	for j, f := range s.files {
		if head, ok := f.firstHead(); ok {
			s.next[head.previous] = j
			if !begun {
				s.begins, begun = head.previous, true
				i = j
			}
		} else if len(f.heads) > 0 && !begun {
			s.begins, begun = f.head.base+fileHeaderBytes, true
			i = j
		}
	}
	if !begun {
		return nil
	}
	if j, ok := s.next[s.begins]; ok {
		i = j
	}
	if !s.fromTheStart() {
		defer s.unbegun()
	}
	for off := int64(fileHeaderBytes); i >= 0; {
		f := s.files[i]
		if j, ok := s.next[f.head.base+off]; ok && j > i {
			i, off = j, fileHeaderBytes
			continue
		}
		head, records, err := f.write(off)
		if err != nil {
			return err
		}
		if records != nil {
			s.deliver(head.position, records)
			s.end = head.position + head.extent()
			off += head.extent()
			continue
		}
		if !s.proven(i, off) && !f.cutAt(off) {
			return nil
		}
		if i, off, err = s.pass(i, off); err != nil {
			return err
		}
	}
	return nil
}

// write reads the write at an offset, nil records if it is not whole.
func (v *salvaged) write(off int64) (writeHead, []Record, error) {
	var hb [writeHeader]byte
	if ok, err := readWhole(v.file, hb[:], off); err != nil || !ok {
		return writeHead{}, nil, err
	}
	position := v.head.base + off
	head, ok := decodeWriteHead(hb[:], v.head.generation, position, v.size-off)
	if !ok || head.length == 0 {
		return head, nil, nil
	}
	body := make([]byte, head.length)
	if ok, err := readWhole(v.file, body, off+writeHeader); err != nil || !ok {
		return head, nil, err
	}
	records := make([]Record, 0, min(int(head.count), len(body)/recordHeader))
	for at := 0; at < len(body); {
		n, ok := recordAt(body[at:], head.generation, position+writeHeader+int64(at))
		if !ok {
			return head, nil, nil
		}
		rec, err := decodeRecord(body[at : at+n])
		if err != nil {
			return head, nil, nil
		}
		records = append(records, rec)
		at += n
	}
	if len(records) != int(head.count) || len(records) == 0 {
		return head, nil, nil
	}
	return head, records, nil
}

// unbegun notes what lies before the place where reading began, unless the
// checkpoint needs nothing of it. It counts as read before everything else.
func (s *salvage) unbegun() {
	if s.out.checkpointAt >= 0 && s.low >= s.begins {
		return
	}
	s.out.Holes = append(s.out.Holes, Hole{File: s.set.Dir + "/" + s.files[0].name, From: 0, To: s.begins, Any: true,
		Reason: fmt.Sprintf("the oldest readable write follows log position %d, and what lies before is missing", s.begins)})
}

// proven reports whether what should stand at the place was durable: a later
// write says so.
func (s *salvage) proven(i int, off int64) bool {
	p := s.end
	if p == 0 {
		p = s.files[i].head.base + off
	}
	for j := i; j < len(s.files); j++ {
		for _, h := range s.files[j].heads {
			if (j > i || h.off >= off) && h.head.durable > p {
				return true
			}
		}
	}
	return false
}

// cutAt reports whether the file lacks its end, and what stood at an offset may
// have been part of that.
func (v *salvaged) cutAt(off int64) bool {
	if v.size >= v.head.size {
		return false
	}
	head, ok, _ := v.at(off)
	return off+writeHeader > v.size || ok && off+head.extent() > v.size
}

// pass goes over damage at a place, takes every record there that is whole, and
// returns the next place; file -1 if there is none.
func (s *salvage) pass(i int, off int64) (int, int64, error) {
	f := s.files[i]
	head, intact, behind := f.at(off)
	at, to := f.head.base+off, int64(-1)
	end := s.liveEnd(i, at) // where a later file continues this one
	switch {
	case intact:
		to = off + head.extent()
	case behind >= 0:
		to = behind
	}
	if end >= 0 && (to < 0 || f.head.base+to > end) {
		to = end - f.head.base
	}
	if to >= 0 && to < f.head.size {
		if err := s.salvageRange(f, off, min(to, f.size), at, f.head.base+to, false); err != nil {
			return -1, 0, err
		}
		s.end = f.head.base + to
		return i, to, nil
	}
	j := i + 1
	for j < len(s.files) && len(s.files[j].heads) == 0 {
		j++
	}
	if to < 0 {
		to = f.head.size
	}
	if j == len(s.files) {
		err := s.salvageRange(f, off, min(to, f.size), at, f.head.base+to, false)
		return -1, 0, err
	}
	n := s.files[j]
	reach := n.head.base + fileHeaderBytes
	if head, ok := n.firstHead(); ok {
		reach = head.previous
	}
	if reach > at || off == fileHeaderBytes {
		before := s.records
		if err := s.salvageRange(f, off, min(to, f.size), at, max(reach, f.head.base+to), !intact); err != nil {
			return -1, 0, err
		}
		// Nothing was there: the log went on in the next file.
		if n := len(s.out.Holes) - 1; !intact && s.records == before && !s.out.Holes[n].Any && len(s.out.Holes[n].Groups) == 0 {
			s.out.Holes = s.out.Holes[:n]
		}
	}
	if reach > f.head.base+f.head.size { // a file between them is missing
		s.hole(f, off, Hole{From: at, To: reach, Any: true, Reason: "what follows here is missing"})
	}
	s.end = max(s.end, min(reach, n.head.base))
	return j, fileHeaderBytes, nil
}

// liveEnd returns the place behind `at` in file i where a later file continues
// the log, or -1: nothing behind it counts.
func (s *salvage) liveEnd(i int, at int64) int64 {
	f := s.files[i]
	for j := len(s.files) - 1; j > i; j-- {
		if head, ok := s.files[j].firstHead(); ok && head.previous > at && head.previous <= f.head.base+f.head.size {
			return head.previous
		}
	}
	return -1
}

func (s *salvage) hole(f *salvaged, off int64, h Hole) {
	h.File, h.Offset, h.before = s.set.Dir+"/"+f.name, off, s.records
	s.out.Holes = append(s.out.Holes, h)
}

// salvageRange takes the whole records of one or several damaged writes, and
// notes what else was there as one hole. unused says that nothing may have been
// written there.
func (s *salvage) salvageRange(f *salvaged, off, to, fromPos, toPos int64, unused bool) error {
	h := Hole{From: fromPos, To: toPos}
	var b []byte
	if to > off {
		b = make([]byte, to-off)
		ok, err := readWhole(f.file, b, off)
		if err != nil {
			return err
		}
		if !ok {
			b = nil
		}
	}
	if int64(len(b)) < min(to, toPos-f.head.base)-off || f.head.base+to < min(toPos, f.head.base+f.head.size) {
		h.Any = true
	}
	named, last, follows, piece := map[ident.GroupID]bool{}, s.records, false, false
	var generation [8]byte
	binary.LittleEndian.PutUint64(generation[:], f.head.generation)
	for at := int64(writeHeader); at < int64(len(b)); { // behind the header of the first one
		n, rec, wrong, ok := s.recordIn(f, b[at:], off+at)
		if ok {
			if wrong >= 0 {
				h.Corrected = append(h.Corrected, off+at+wrong)
			}
			s.deliver(fromPos, []Record{rec})
			at, follows = at+n, true
			continue
		}
		next := s.resync(f, b, at, off)
		if unused && !bytes.Contains(b[at:], generation[:]) {
			break
		}
		if !follows || f.inBody(off+at) || !harmless(b[at:next], off+at, next < int64(len(b))) {
			r, kind, known := blame(f, b[at:next], off+at, next < int64(len(b)))
			last = s.records
			switch {
			case !known:
				h.Any = true
			case kind == KindCheckpoint: // it holds no group's records
				piece = true
			case !named[r.Group]:
				named[r.Group] = true
				h.Groups = append(h.Groups, r.Group)
				fallthrough
			default:
				h.blamed = append(h.blamed, r)
			}
		}
		at = next
	}
	sort.Slice(h.Groups, func(i, j int) bool { return h.Groups[i] < h.Groups[j] })
	h.Reason = "a write that was durable is damaged or missing"
	if !h.Any && len(h.Groups) == 0 {
		h.Reason = "a write that was durable is damaged, and all its records are whole"
	}
	if piece {
		h.Reason = "a piece of a checkpoint is damaged"
	}
	if n := len(h.Corrected); n > 0 {
		h.Reason = fmt.Sprintf("%s; corrected a flipped bit at %v", strings.TrimSuffix(h.Reason, ", and all its records are whole"), h.Corrected)
	}
	if h.Any && len(b) == 0 {
		last = s.records
	}
	h.File, h.Offset, h.before = s.set.Dir+"/"+f.name, off, last
	s.out.Holes = append(s.out.Holes, h)
	return nil
}

// recordIn reads the record at the front of b, which lies at an offset of the
// file, even if one bit of it is wrong: that is in the byte `wrong` of b, which is
// -1 if all are right.
func (s *salvage) recordIn(f *salvaged, b []byte, off int64) (length int64, rec Record, wrong int64, ok bool) {
	n, ok := recordAt(b, f.head.generation, f.head.base+off)
	if wrong = -1; !ok {
		n, wrong, ok = mendRecord(b, f.head.generation, f.head.base+off, off)
	}
	if !ok {
		return 0, Record{}, -1, false
	}
	rec, err := decodeRecord(b[:n])
	return int64(n), rec, wrong, err == nil
}

// plausible reports whether b may begin with a record of the place whose header
// has at most one wrong byte there.
func plausible(b []byte, generation uint64, position int64) bool {
	if len(b) < recordHeader {
		return false
	}
	var want [16]byte
	binary.LittleEndian.PutUint64(want[:], generation)
	binary.LittleEndian.PutUint64(want[8:], uint64(position))
	wrong := 0
	for i := range want {
		if b[8+i] != want[i] {
			wrong++
		}
	}
	return wrong <= 1
}

// resync finds the next whole record behind at, else the end.
func (s *salvage) resync(f *salvaged, b []byte, at, off int64) int64 {
	le := binary.LittleEndian
	for p := at + 1; p+recordHeader <= int64(len(b)); p++ {
		if le.Uint64(b[p+8:]) != f.head.generation || int64(le.Uint64(b[p+16:])) != f.head.base+off+p {
			continue
		}
		if _, ok := recordAt(b[p:], f.head.generation, f.head.base+off+p); ok {
			return p
		}
	}
	return int64(len(b))
}

// inBody reports whether a write whose header is right has records at an offset,
// by its length: what is no record there is none of its padding.
func (v *salvaged) inBody(off int64) bool {
	i := sort.Search(len(v.heads), func(i int) bool { return v.heads[i].off+writeHeader > off }) - 1
	return i >= 0 && off < v.heads[i].off+writeHeader+int64(v.heads[i].head.length)
}

// harmless reports whether bytes behind a record that are no record can have been
// none: padding, and the header of a write if a record follows.
func harmless(b []byte, off int64, record bool) bool {
	pad := min(align(off)-off, int64(len(b)))
	rest := b[pad:]
	return zeros(b[:pad]) && (len(rest) == 0 || record && len(rest) == writeHeader)
}

// blame names the replica and the kind of a damaged record, if nothing else can
// have stood in b: its header is as it should be, and leads to the next record or
// to the end. What it says of the replica may be damaged too: unless another record
// has that group and replica together, nobody knows whose it was.
func blame(f *salvaged, b []byte, off int64, record bool) (Replica, Kind, bool) {
	le := binary.LittleEndian
	if len(b) < recordHeader {
		return Replica{}, 0, false
	}
	kind := Kind(b[40])
	if le.Uint64(b[8:]) != f.head.generation || int64(le.Uint64(b[16:])) != f.head.base+off || kind < KindAppend || kind > KindGone {
		return Replica{}, 0, false
	}
	n := int64(le.Uint32(b[4:])) + recordHeader
	if n > int64(len(b)) || record && n != int64(len(b)) {
		return Replica{}, 0, false
	}
	if !record && (!zeros(b[n:]) || align(off+n) < off+int64(len(b))) {
		return Replica{}, 0, false
	}
	r := Replica{ident.GroupID(le.Uint64(b[24:])), ident.ReplicaID(le.Uint64(b[32:]))}
	if kind == KindCheckpoint && r != (Replica{}) || !zeros(b[41:recordHeader]) {
		return Replica{}, 0, false
	}
	return r, kind, true
}

// doubtNames has a hole be anybody's if a damaged record there names a replica
// that no other one does.
func (s *salvage) doubtNames() {
	for i := range s.out.Holes {
		h := &s.out.Holes[i]
		for _, r := range h.blamed {
			h.Any = h.Any || !s.known[r]
		}
	}
}
