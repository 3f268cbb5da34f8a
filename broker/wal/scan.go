package wal

import (
	"encoding/binary"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/mutant"
)

// scan reads every write in order, over file borders, from the first one of
// file i to the end of the log. Before the bytes at a place are looked at, a
// later file that continues the log there is asked for: what stands at the
// place itself was then dropped or written again by an earlier recovery, even
// if it can be read by now.
func (r *recovery) scan(i int) error {
	off := int64(fileHeaderBytes)
	r.in.ahead = readAhead
	for {
		if j, ok := r.next[r.files[i].head.base+off]; ok && j > i {
			i, off = j, fileHeaderBytes
		}
		f := r.files[i]
		head, records, err := r.in.readWrite(f, off)
		if err != nil {
			return fmt.Errorf("read %s/%s at %d: %w", r.s.Dir, f.name, off, err)
		}
		if records == nil {
			return r.judge(i, off)
		}
		r.in.keep()
		r.deliver(i, head, records)
		off += head.extent()
	}
}

// readWrite reads and checks one write. Without a valid write there it returns
// nil records. They alias the reader's buffer.
func (r *reader) readWrite(f *found, off int64) (writeHead, []Record, error) {
	hb, ok, err := r.view(f.file, off, writeHeader, f.head.size)
	if err != nil || !ok {
		return writeHead{}, nil, err
	}
	position := f.head.base + off
	head, ok := decodeWriteHead(hb, f.head.generation, position, f.head.size-off)
	if !ok || head.length == 0 {
		return head, nil, nil
	}
	body, ok, err := r.view(f.file, off, writeHeader+int64(head.length), f.head.size)
	if err != nil || !ok {
		return head, nil, err
	}
	body = body[writeHeader:]
	records := make([]Record, 0, min(int(head.count), len(body)/recordHeader))
	for at := 0; at < len(body); {
		n, ok := recordAt(body[at:], head.generation, position+writeHeader+int64(at))
		if !ok {
			return head, nil, nil
		}
		rec, err := decodeRecord(body[at : at+n])
		if err != nil {
			// The CRC holds, so the disk gave back what was written.
			return head, nil, &Damage{File: f.name, Offset: off + writeHeader + int64(at), Position: position,
				Groups: []ident.GroupID{rec.Group}, Reason: err.Error()}
		}
		records = append(records, rec)
		at += n
	}
	if len(records) != int(head.count) || len(records) == 0 {
		return head, nil, nil
	}
	return head, records, nil
}

// readWrite reads one write with buffers of its own.
func readWrite(f *found, off int64) (writeHead, []Record, error) {
	return (&reader{}).readWrite(f, off)
}

// deliver takes the records of one valid write.
func (r *recovery) deliver(file int, head writeHead, records []Record) {
	r.provenLow = r.lastLow() // this write was issued when all before it was durable
	r.last, r.lastHead, r.lastFile, r.end = records, head, file, head.position+head.extent()
	r.bytes += head.extent()
	for i := range records {
		rec := &records[i]
		r.records++
		switch rec.Kind {
		case KindAppend:
			if g := r.group(rec.Group, rec.Replica); g != nil {
				g.append(&rec.Append, head.position)
				g.last = r.records
			}
		case KindCheckpoint:
			r.piece(rec.Piece, head.position)
		case KindGone:
			r.gone[Replica{rec.Group, rec.Replica}] = true
			r.destroyed[Replica{rec.Group, rec.Replica}] = true
			if g := r.groups[rec.Group]; g != nil && g.Replica == rec.Replica {
				delete(r.groups, rec.Group)
			}
		}
	}
}

// group finds or makes the group of a record. A higher replica id is a new
// replica: what an older one wrote is not its. It returns nil for an older one.
func (r *recovery) group(id ident.GroupID, rep ident.ReplicaID) *Group {
	g := r.groups[id]
	if g == nil || g.Replica < rep {
		g = &Group{ID: id, Replica: rep}
		r.groups[id] = g
	}
	if g.Replica > rep {
		return nil
	}
	return g
}

// append puts the entries of one record on top of the group's. A gap means that
// the entries before it are below the group's low, in a file that is partly
// needed: they are forgotten. Entries that are there already, by index and
// term, were copied forward: nothing behind them is dropped.
func (g *Group) append(a *Append, position int64) {
	g.Term, g.Vote, g.Commit = a.Term, a.Vote, a.Commit
	if len(a.Entries) == 0 {
		return
	}
	fresh := g.merge(a.Entries, position)
	g.Entries = append(g.Entries, fresh...)
	for range fresh {
		g.Positions = append(g.Positions, position)
	}
}

// merge makes room for entries and returns those that are not there yet.
func (g *Group) merge(ents []Entry, position int64) []Entry {
	n := len(g.Entries)
	if n == 0 {
		return ents
	}
	start, first := g.Entries[0].Index, ents[0].Index
	if first > g.Entries[n-1].Index+1 || first < start {
		g.Entries, g.Positions = nil, nil
		return ents
	}
	at := int(first - start)
	same := 0
	for same < len(ents) && at+same < n && g.Entries[at+same].Term == ents[same].Term {
		g.Positions[at+same] = position
		same++
	}
	if same < len(ents) {
		g.Entries, g.Positions = g.Entries[:at+same], g.Positions[:at+same]
	}
	return ents[same:]
}

// piece collects a checkpoint. The first piece of one forgets an unfinished one
// before it.
func (r *recovery) piece(p Piece, position int64) {
	r.seenID = max(r.seenID, p.ID)
	if p.Number == 0 {
		r.pieces, r.piecesFrom, r.piecesAt = nil, r.records, position
		clear(r.gone)
	}
	if int(p.Number) != len(r.pieces) || p.Number > 0 && r.pieces[0].ID != p.ID {
		r.pieces = nil
		return
	}
	r.pieces = append(r.pieces, p)
	if p.Last {
		r.complete()
	}
}

// complete takes a checkpoint whose last piece is there.
func (r *recovery) complete() {
	whole := Piece{ID: r.pieces[0].ID}
	listed := map[ident.GroupID]bool{}
	for _, p := range r.pieces {
		for _, s := range p.Groups {
			whole.Groups = append(whole.Groups, s)
			listed[s.Group] = true
			if r.gone[Replica{s.Group, s.Replica}] {
				continue
			}
			if g := r.group(s.Group, s.Replica); g != nil {
				g.State, g.Low = s.State, s.Low
				g.last = max(g.last, r.piecesFrom)
			}
		}
	}
	for id, g := range r.groups { // order: deletions only
		if !listed[id] && g.last < r.piecesFrom {
			delete(r.groups, id)
		}
	}
	r.pieces, r.checkpoint, r.checkpointAt = nil, &whole, r.piecesAt
}

// judge decides whether the bad write at off of file i is the torn tail or
// corruption: it is corruption if a later write was issued when the bad one was
// known to be durable.
func (r *recovery) judge(i int, off int64) error {
	position := r.files[i].head.base + off
	if mutant.On(mutant.CorruptAsTorn) {
		return nil
	}
	for j := i; j < len(r.files); j++ {
		from := int64(fileHeaderBytes)
		if j == i {
			from = off
		}
		seen, proof, err := r.provenDurable(r.files[j], from, r.logEnd(position))
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", r.s.Dir, r.files[j].name, err)
		}
		r.dropped = r.dropped || seen
		if proof > 0 || seen && mutant.On(mutant.TornAsCorrupt) {
			k, err := r.continues(i, j, off, r.logEnd(position))
			switch {
			case err != nil:
				return err
			case k > i:
				i, off = k, fileHeaderBytes
			case j > i && !r.begun[j] && proof != fileHeaderBytes:
				// The first write of that file was durable before any other, and does
				// not itself prove what was before it: it may be a torn one.
				i, off = j, fileHeaderBytes
			}
			return r.damageAt(i, off, "a write that was durable is damaged or missing")
		}
	}
	return nil
}

// continues returns which of the files behind i, up to j, has a damaged first write
// that stood at p, where file i was read up to off; i if there is none.
func (r *recovery) continues(i, j int, off, p int64) (int, error) {
	_, _, here, err := r.stands(i, off)
	for k := i + 1; k <= j && err == nil; k++ {
		head, intact, something, failed := r.stands(k, fileHeaderBytes)
		if !r.begun[k] && (intact && head.previous == p || !intact && something && !here) {
			return k, nil
		}
		err = failed
	}
	return i, err
}

// stands returns the header of a write, and whether there is anything of one.
func (r *recovery) stands(i int, off int64) (head writeHead, intact, something bool, err error) {
	f := r.files[i]
	b, ok, err := r.in.view(f.file, off, writeHeader, f.head.size)
	if err != nil {
		return head, false, false, fmt.Errorf("read %s/%s: %w", r.s.Dir, f.name, err)
	}
	if ok {
		head, intact = decodeWriteHead(b, f.head.generation, f.head.base+off, f.head.size-off)
		something = looksLikeHead(b, f.head.generation, f.head.base+off)
	}
	return head, intact, something, nil
}

// logEnd is P: where the log ends if nothing behind it counts.
func (r *recovery) logEnd(position int64) int64 {
	if r.end == 0 {
		return position
	}
	return r.end
}

// readChunk is how much is looked at at once for the headers of writes.
const readChunk = 256 * Block

// provenDurable looks for a valid write header at any block from `from` on. It
// tells whether one was seen at all, and where in the file one stands that was
// issued when the bytes at p were known to be durable, 0 if there is none.
func (r *recovery) provenDurable(f *found, from, p int64) (seen bool, proof int64, err error) {
	for at := from; at < f.head.size; at += readChunk {
		n := min(readChunk, f.head.size-at)
		buf, ok, err := r.in.view(f.file, at, n, f.head.size)
		if err != nil || !ok {
			return seen, 0, err
		}
		for b := int64(0); b < n; b += Block {
			head, ok := decodeWriteHead(buf[b:n], f.head.generation, f.head.base+at+b, f.head.size-at-b)
			if !ok {
				continue
			}
			seen = true
			// The first write of all, and a copy of it, prove nothing: before
			// it there was none, whatever files a start had made by then.
			if head.durable > p && !r.startsLog(head.previous) {
				return seen, at + b, nil
			}
		}
	}
	return seen, 0, nil
}

// damageAt describes the corrupt write with whatever of it can still be read.
func (r *recovery) damageAt(i int, off int64, reason string) error {
	f := r.files[i]
	d := &Damage{File: r.s.Dir + "/" + f.name, Offset: off, Position: f.head.base + off, Reason: reason}
	buf, ok, err := r.in.view(f.file, off, min(WriteBytesMax, f.head.size-off), f.head.size)
	if err != nil || !ok {
		return d
	}
	named := map[ident.GroupID]bool{}
	for at := writeHeader; at+recordHeader <= len(buf) && len(d.Groups) < 16; {
		le := binary.LittleEndian
		if le.Uint64(buf[at+8:]) != f.head.generation || int64(le.Uint64(buf[at+16:])) != f.head.base+off+int64(at) {
			break
		}
		if g := ident.GroupID(le.Uint64(buf[at+24:])); !named[g] {
			named[g] = true
			d.Groups = append(d.Groups, g)
		}
		at += recordHeader + int(le.Uint32(buf[at+4:]))
	}
	return d
}
