package vfs

import (
	"io"
	"path"
	"slices"
	"strings"
	"sync"
)

// MemOptions configures a Mem.
type MemOptions struct {
	// Capacity is how many bytes of pages files may take, rounded down to
	// whole pages; 0 or less means no limit.
	Capacity int64
	// DirectAlignment is the Alignment of files opened direct: a power of two of
	// at most MaxAlignment; 0 is 512, the smallest that disks have, and 1 stands
	// for a file system without direct I/O.
	DirectAlignment int
}

// unlimitedFree is what Free returns without a limit: large, and safe to
// multiply by small numbers.
const unlimitedFree = 1 << 50

// Mem is a file system in memory that knows what a power loss would leave of
// it; the package documentation defines that exactly. It is safe for concurrent
// use. It keeps every unsynced write until its file is synced, and every
// unsynced name until its directory is, so that its memory is bounded only for
// callers that sync.
type Mem struct {
	mu       sync.Mutex
	direct   int   // alignment of direct files
	capacity int64 // bytes, a multiple of pageSize; 0: no limit
	used     int64 // bytes
	root     *node
	ops      []dirOp // unsynced operations on names, oldest first
	dead     bool
}

// NewMem returns an empty file system.
func NewMem(opts MemOptions) *Mem {
	m := &Mem{root: newDir(), direct: sectorSize}
	if a := opts.DirectAlignment; a > 0 && a <= MaxAlignment && a&(a-1) == 0 {
		m.direct = a
	}
	if opts.Capacity > 0 {
		m.capacity = max(opts.Capacity/pageSize*pageSize, pageSize)
	}
	return m
}

// enter locks m. It fails, without the lock, if m is dead.
func (m *Mem) enter(op, name string) error {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return opError(op, name, ErrClosed)
	}
	return nil
}

// fits reports whether pages more pages may be allocated.
func (m *Mem) fits(pages int64) bool {
	return m.capacity == 0 || pages <= (m.capacity-m.used)/pageSize
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) { return m.create(name, 1) }

// CreateDirect implements FS.
func (m *Mem) CreateDirect(name string) (File, error) { return m.create(name, m.direct) }

func (m *Mem) create(name string, align int) (File, error) {
	if err := checkFile("create", name); err != nil {
		return nil, err
	}
	if err := m.enter("create", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, opError("create", name, err)
	}
	if dir.live[base] != nil {
		return nil, opError("create", name, ErrExist)
	}
	return m.handle(m.createFile(dir, base), name, align), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, 1) }

// OpenDirect implements FS.
func (m *Mem) OpenDirect(name string) (File, error) { return m.open(name, m.direct) }

func (m *Mem) open(name string, align int) (File, error) {
	if err := checkFile("open", name); err != nil {
		return nil, err
	}
	if err := m.enter("open", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	n, err := m.lookup(name)
	if err == nil && n.isDir() {
		err = ErrIsDir
	}
	if err != nil {
		return nil, opError("open", name, err)
	}
	return m.handle(n, name, align), nil
}

func (m *Mem) handle(n *node, name string, align int) *memFile {
	n.opens++
	return &memFile{m: m, n: n, name: name, align: align}
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	if err := checkFile("rename", oldName); err != nil {
		return err
	}
	if err := checkFile("rename to", newName); err != nil {
		return err
	}
	if err := m.enter("rename", oldName); err != nil {
		return err
	}
	defer m.mu.Unlock()
	n, err := m.lookup(oldName)
	if err == nil && n.isDir() {
		err = ErrIsDir
	}
	if err != nil {
		return opError("rename", oldName, err)
	}
	to, toBase, err := m.parent(newName)
	if err != nil {
		return opError("rename to", newName, err)
	}
	replaced := to.live[toBase]
	if replaced == n {
		return nil
	}
	if replaced != nil && replaced.isDir() {
		return opError("rename to", newName, ErrIsDir)
	}
	from, fromBase, err := m.parent(oldName)
	if err != nil {
		return opError("rename", oldName, err)
	}
	if replaced != nil {
		m.unlink(replaced)
	}
	m.change(dirOp{
		{dir: from, name: fromBase},
		{dir: to, name: toBase, to: n},
	})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	if err := checkFile("remove", name); err != nil {
		return err
	}
	if err := m.enter("remove", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return opError("remove", name, err)
	}
	n := dir.live[base]
	switch {
	case n == nil:
		return opError("remove", name, ErrNotExist)
	case !n.isDir():
		m.unlink(n)
		m.change(dirOp{{dir: dir, name: base}})
	case len(n.live) > 0:
		return opError("remove", name, ErrNotEmpty)
	default:
		// The directory itself takes part, with no change of name, so that its
		// removal cannot survive without what was done in it before.
		m.change(dirOp{{dir: dir, name: base}, {dir: n}})
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	if err := checkDir("mkdir", name); err != nil {
		return err
	}
	if err := m.enter("mkdir", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if name == "." {
		return nil
	}
	dir := m.root
	for elem := range strings.SplitSeq(name, "/") {
		n := dir.live[elem]
		if n == nil {
			n = newDir()
			m.change(dirOp{{dir: dir, name: elem, to: n}})
		}
		if !n.isDir() {
			return opError("mkdir", name, ErrNotDir)
		}
		m.syncDir(dir)
		dir = n
	}
	return nil
}

// List implements FS.
func (m *Mem) List(name string) ([]Entry, error) {
	if err := checkDir("list", name); err != nil {
		return nil, err
	}
	if err := m.enter("list", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	dir, err := m.lookupDir(name)
	if err != nil {
		return nil, opError("list", name, err)
	}
	entries := make([]Entry, 0, len(dir.live))
	for base, n := range dir.live {
		entries = append(entries, Entry{Name: base, Dir: n.isDir(), Size: n.size})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	if err := checkDir("sync directory", name); err != nil {
		return err
	}
	if err := m.enter("sync directory", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	dir, err := m.lookupDir(name)
	if err != nil {
		return opError("sync directory", name, err)
	}
	m.syncDir(dir)
	return nil
}

// SyncAll implements FS.
func (m *Mem) SyncAll() error {
	if err := m.enter("sync everything", "."); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for i := range m.ops {
		m.ops[i].commit()
	}
	clear(m.ops)
	m.ops = m.ops[:0]
	eachFile(m.root, (*node).sync)
	return nil
}

// loseUnsynced is what a failed SyncAll does; Faulty calls it.
func (m *Mem) loseUnsynced() {
	if m.enter("sync everything", ".") != nil {
		return
	}
	defer m.mu.Unlock()
	eachFile(m.root, (*node).failSync)
}

// Free implements FS. Without a capacity it returns 1 PiB.
func (m *Mem) Free() (int64, error) {
	if err := m.enter("statfs", "."); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return unlimitedFree, nil
	}
	return max(m.capacity-m.used, 0), nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	if err := checkFile("lock", name); err != nil {
		return nil, err
	}
	if err := m.enter("lock", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, opError("lock", name, err)
	}
	n := dir.live[base]
	switch {
	case n == nil:
		n = m.createFile(dir, base)
	case n.isDir():
		return nil, opError("lock", name, ErrIsDir)
	case n.locked:
		return nil, opError("lock", name, ErrLocked)
	}
	n.locked = true
	f := m.handle(n, name, 1)
	f.locks = true
	return f, nil
}

// lookup finds what name stands for.
func (m *Mem) lookup(name string) (*node, error) {
	n := m.root
	if name == "." {
		return n, nil
	}
	for elem := range strings.SplitSeq(name, "/") {
		if !n.isDir() {
			return nil, ErrNotDir
		}
		if n = n.live[elem]; n == nil {
			return nil, ErrNotExist
		}
	}
	return n, nil
}

func (m *Mem) lookupDir(name string) (*node, error) {
	n, err := m.lookup(name)
	if err == nil && !n.isDir() {
		err = ErrNotDir
	}
	return n, err
}

// parent finds the directory that name is in, and its last element.
func (m *Mem) parent(name string) (*node, string, error) {
	dir, err := m.lookupDir(path.Dir(name))
	return dir, path.Base(name), err
}
