//go:build failpoints

package failpoint

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"syscall"
)

// undo keeps what it takes to take unsynced changes of a data directory back.
// A nil *undo keeps nothing.
type undo struct {
	root string
	side string // a directory that holds on to what is removed

	mu    sync.Mutex
	files map[string]*fileUndo
	dirs  map[string][]nameChange
	links int
}

// fileUndo is the unsynced writes of a file.
type fileUndo struct {
	f      *os.File
	size   int64 // as of the last sync
	pieces []piece
	cut    bool // one of them made the file shorter
	doomed bool // a sync failed: nothing unsynced survives
}

// piece is what stood where something was written, or cut off.
type piece struct {
	off, n int64
	old    []byte // its beginning; what is missing was zero
}

func newUndo(root string) *undo {
	u := &undo{root: root, side: filepath.Clean(root) + ".undo", files: map[string]*fileUndo{}, dirs: map[string][]nameChange{}}
	_ = os.RemoveAll(u.side) // of an earlier life
	return u
}

func (u *undo) path(name string) string { return filepath.Join(u.root, filepath.FromSlash(name)) }

// file returns the unsynced writes of a file, none at first; nil if it cannot be
// opened. The caller holds the mutex.
func (u *undo) file(name string) *fileUndo {
	if fu := u.files[name]; fu != nil {
		return fu
	}
	f, err := os.OpenFile(u.path(name), os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the error that counts is err
		return nil
	}
	fu := &fileUndo{f: f, size: info.Size()}
	u.files[name] = fu
	return fu
}

// writing notes what stands where n bytes are about to be written.
func (u *undo) writing(name string, off, n int64) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if fu := u.file(name); fu != nil {
		fu.note(off, n)
	}
}

func (fu *fileUndo) note(off, n int64) {
	p := piece{off: off, n: n}
	if end := fu.end(); end > off {
		p.old = make([]byte, min(n, end-off))
		got, _ := fu.f.ReadAt(p.old, off)
		p.old = p.old[:got]
	}
	fu.pieces = append(fu.pieces, p)
}

func (fu *fileUndo) end() int64 {
	info, err := fu.f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// resizing notes that a file is about to get another length.
func (u *undo) resizing(name string, size int64) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if fu := u.file(name); fu != nil {
		if end := fu.end(); end > size {
			fu.note(size, end-size)
			fu.cut = true
		}
	}
}

// growing notes that a file is about to get longer.
func (u *undo) growing(name string) { u.resizing(name, 1<<62) }

// beginSync returns how much is unsynced, for synced.
func (u *undo) beginSync(name string) (m syncMark) {
	if u == nil {
		return m
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.fu = u.files[name]; m.fu != nil {
		m.pieces, m.size = len(m.fu.pieces), m.fu.end()
	}
	return m
}

// syncMark is what a sync makes durable.
type syncMark struct {
	fu     *fileUndo
	pieces int
	size   int64
}

// synced forgets what a sync has made durable.
func (u *undo) synced(name string, m syncMark) {
	if m.fu == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.fu.doomed {
		return
	}
	m.fu.pieces = m.fu.pieces[min(m.pieces, len(m.fu.pieces)):]
	m.fu.size, m.fu.cut = m.size, m.fu.cut && len(m.fu.pieces) > 0
	if len(m.fu.pieces) == 0 && m.fu.end() == m.size && u.files[name] == m.fu {
		_ = m.fu.f.Close() // nothing was written through it
		delete(u.files, name)
	}
}

// beginSyncAll is beginSync for all files and names.
func (u *undo) beginSyncAll() (m allMark) {
	if u == nil {
		return m
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	m.files, m.names = map[string]syncMark{}, map[string]int{}
	for name, fu := range u.files { // order: each is looked at by itself
		m.files[name] = syncMark{fu: fu, pieces: len(fu.pieces), size: fu.end()}
	}
	for dir, changes := range u.dirs { // order: each is looked at by itself
		m.names[dir] = len(changes)
	}
	return m
}

// allMark is what a SyncAll makes durable.
type allMark struct {
	files map[string]syncMark
	names map[string]int
}

func (u *undo) syncedAll(m allMark) {
	for name, fm := range m.files { // order: each is looked at by itself
		u.synced(name, fm)
	}
	for dir, n := range m.names { // order: each is looked at by itself
		u.syncedNames(dir, n)
	}
}

func (u *undo) failedSyncAll() {
	for name := range u.beginSyncAll().files { // order: each is looked at by itself
		u.failedSync(name, false)
	}
}

// failedSync dooms what is unsynced of a file, or takes it back at once.
func (u *undo) failedSync(name string, now bool) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	fu := u.files[name]
	if fu == nil {
		return
	}
	fu.doomed = true
	if now {
		_ = fu.takeBack(rand.New(rand.NewPCG(0, 0))) // it may not be readable any more, which is loss too
		fu.pieces = nil
	}
}

// takeBack loses unsynced writes: all, none, or in each sector those behind a
// random one.
func (fu *fileUndo) takeBack(rng *rand.Rand) error {
	mode := rng.IntN(4)
	if fu.cut {
		mode %= 2
	}
	switch {
	case fu.doomed:
		mode = 0
	case mode == 1:
		return nil
	}
	size, kept := fu.size, map[int64]int{}
	for i := len(fu.pieces) - 1; i >= 0; i-- {
		p := fu.pieces[i]
		for off := p.off; off < p.off+p.n; {
			s := off / sector
			end := min((s+1)*sector, p.off+p.n)
			if _, ok := kept[s]; !ok && mode > 1 {
				kept[s] = rng.IntN(len(fu.pieces) + 1)
			}
			if i < kept[s] {
				size = max(size, end)
			} else if err := fu.restore(p, off, end); err != nil {
				return err
			}
			off = end
		}
	}
	return fu.f.Truncate(size)
}

// restore writes what stood in [off, end) before a piece.
func (fu *fileUndo) restore(p piece, off, end int64) error {
	b := make([]byte, end-off)
	if from := off - p.off; from < int64(len(p.old)) {
		copy(b, p.old[from:])
	}
	_, err := fu.f.WriteAt(b, off)
	return err
}

// powerLoss takes a part of what is unsynced back.
func (u *undo) powerLoss(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	var errs []error
	for _, name := range sortedKeys(u.files) {
		errs = append(errs, u.files[name].takeBack(rng))
	}
	for _, dir := range sortedKeys(u.dirs) { // parents first
		if _, err := os.Stat(u.path(dir)); err == nil {
			errs = append(errs, u.takeBackNames(dir, rng))
		}
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m { // order: sorted below
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// keep links a file that is about to lose its name, and returns the link; ""
// if it is none. The caller holds the mutex.
func (u *undo) keep(name string) string {
	u.links++
	link := filepath.Join(u.side, strconv.Itoa(u.links))
	err := os.Link(u.path(name), link)
	if errors.Is(err, syscall.ENOENT) && os.MkdirAll(u.side, 0o700) == nil {
		err = os.Link(u.path(name), link)
	}
	if err != nil {
		return ""
	}
	return link
}

// tracked tells whether the names of a directory are taken back. The cache never
// syncs its directory, so that all it ever removed would have to be kept.
func tracked(dir string) bool { return call{name: dir, op: "syncdir"}.class() != classChunk }
