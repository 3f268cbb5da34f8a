package wal

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// halfSuffix is added to the name of the file that a repair is writing. Open
// leaves files of such names alone.
const halfSuffix = ".repair"

// RepairedGroup is what a group has after a repair.
type RepairedGroup struct {
	ID      ident.GroupID
	Replica ident.ReplicaID
	// State is its part of a checkpoint. It is kept.
	State []byte
	// Term, Vote and Commit are its hard state, and Entries what it holds above
	// the index that State has applied, without a gap. They are kept.
	Term, Vote, Commit uint64
	Entries            []Entry
}

// Repaired is a new log that is durable beside the old one and does not count
// yet.
type Repaired struct {
	// Name is the file's, without its directory.
	Name string

	fs    vfs.FS
	dir   string
	files []string // of the old log
}

// Prepare writes a log of one file that holds a checkpoint of the groups, which
// ascend by id, and their entries, and makes it durable under a name that Open
// does not know. Nothing that is there is changed but for what an earlier
// Prepare left. It fails with ErrNoSpace of vfs if the disk is full.
func (s *Salvaged) Prepare(fs vfs.FS, entropy func() uint64, groups []RepairedGroup) (*Repaired, error) {
	p := &repairing{head: fileHeader{sequence: s.sequence + 1, generation: entropy(), base: s.end, directory: s.directory}, checkpoint: s.checkpoint + 1}
	// The file needs nothing below itself, which makes the old ones superfluous.
	p.head.low = p.head.base
	p.build(groups)
	p.head.size = max(align(int64(len(p.buf))), 2*Block)
	copy(p.buf, p.head.encode())
	r := &Repaired{Name: fileName(p.head.sequence), fs: fs, dir: s.dir, files: s.Files}
	name := s.dir + "/" + r.Name + halfSuffix
	if err := fs.Remove(name); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return nil, fmt.Errorf("remove %s: %w", name, err)
	}
	f, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	if err = f.Preallocate(p.head.size); err == nil {
		_, err = f.WriteAt(p.buf, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fs.Remove(name) // it does not count, and the next Prepare removes it
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return r, fs.SyncDir(s.dir)
}

// Commit makes the new log count, at one stroke: after it Open reads the new
// file and needs no other. It is durable on return.
func (r *Repaired) Commit() error {
	name := r.dir + "/" + r.Name
	if err := r.fs.Rename(name+halfSuffix, name); err != nil {
		return fmt.Errorf("rename %s%s: %w", name, halfSuffix, err)
	}
	return r.fs.SyncDir(r.dir)
}

// Retire moves all files of the old log to a directory, which must be there.
func (r *Repaired) Retire(to string) error { return retire(r.fs, r.dir, r.files, to) }

// Retire moves superseded files to a directory, which must be there.
func (s *Salvaged) Retire(fs vfs.FS, to string) error { return retire(fs, s.dir, s.Superseded, to) }

func retire(fs vfs.FS, dir string, names []string, to string) error {
	for _, n := range names {
		if err := fs.Rename(dir+"/"+n, to+"/"+n); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return fmt.Errorf("move %s/%s to %s: %w", dir, n, to, err)
		}
	}
	// The copy must be durable before the original is gone.
	if err := fs.SyncDir(to); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// repairing builds the bytes of a repaired log.
type repairing struct {
	head       fileHeader
	checkpoint uint64
	buf        []byte
	previous   int64
}

// bytesMax is where a record or a write is cut.
const repairedBytesMax = 256 << 10

func (p *repairing) build(groups []RepairedGroup) {
	p.buf = make([]byte, fileHeaderBytes)
	p.previous = p.head.base + fileHeaderBytes
	p.states(groups)
	for i := range groups {
		p.entries(&groups[i])
	}
	// So that damage to any of it is known as such.
	p.write(Record{Kind: KindProof})
}

// states writes the checkpoint.
func (p *repairing) states(groups []RepairedGroup) {
	piece := Piece{ID: p.checkpoint}
	bytes := 0
	for i := range groups {
		g := &groups[i]
		if bytes > 0 && bytes+len(g.State) > repairedBytesMax {
			p.write(Record{Kind: KindCheckpoint, Piece: piece})
			piece = Piece{ID: p.checkpoint, Number: piece.Number + 1}
			bytes = 0
		}
		piece.Groups = append(piece.Groups, GroupState{Group: g.ID, Replica: g.Replica, Low: p.head.base + fileHeaderBytes, State: g.State})
		bytes += len(g.State)
	}
	piece.Last = true
	p.write(Record{Kind: KindCheckpoint, Piece: piece})
}

// entries writes what a group holds above its state, or its hard state alone.
func (p *repairing) entries(g *RepairedGroup) {
	rec := Record{Group: g.ID, Replica: g.Replica, Kind: KindAppend, Append: Append{Term: g.Term, Vote: g.Vote, Commit: g.Commit}}
	ents := g.Entries
	for first := true; first || len(ents) > 0; first = false {
		n, bytes := 0, 0
		for n < len(ents) && (n == 0 || bytes+len(ents[n].Data) <= repairedBytesMax) {
			bytes += len(ents[n].Data)
			n++
		}
		rec.Append.Entries = ents[:n]
		p.write(rec)
		ents = ents[n:]
	}
}

// write adds a write of one record. All before it is durable when the file is
// seen at all.
func (p *repairing) write(rec Record) {
	start := len(p.buf)
	position := p.head.base + int64(start)
	p.buf = append(p.buf, make([]byte, writeHeader)...)
	p.buf = rec.encode(p.buf, p.head.generation, position+writeHeader)
	h := writeHead{generation: p.head.generation, position: position, previous: p.previous, durable: position,
		length: uint32(len(p.buf) - start - writeHeader), count: 1}
	p.buf = append(p.buf, make([]byte, align(int64(len(p.buf)))-int64(len(p.buf)))...)
	h.encode(p.buf[start:])
	p.previous = p.head.base + int64(len(p.buf))
}
