package vfs

import "slices"

// node is a file or a directory, whatever its names are. Mem.mu guards it.
type node struct {
	// Of a directory: its entries as they are, and as they are on disk without
	// the operations in Mem.ops. Both nil for a file.
	live, durable map[string]*node

	// Of a file.
	content
	opens    int  // handles that hold the pages
	unlinked bool // has no live name
	locked   bool
}

func newDir() *node {
	return &node{live: map[string]*node{}, durable: map[string]*node{}}
}

func (n *node) isDir() bool { return n.live != nil }

// eachFile calls do for every file with a name below dir. The order does not
// matter: do changes nothing but the file.
func eachFile(dir *node, do func(*node)) {
	for _, n := range dir.live {
		if n.isDir() {
			eachFile(n, do)
		} else {
			do(n)
		}
	}
}

// edit sets or, if to is nil, removes one name of dir. An empty name changes
// nothing and only ties the operation to the directory's order.
type edit struct {
	dir  *node
	name string
	to   *node
}

// dirOp is one atomic change of names. The second edit may be unused, with a
// nil dir.
type dirOp [2]edit

// dirs yields each directory that takes part in the operation once.
func (op *dirOp) dirs(yield func(*node) bool) {
	if !yield(op[0].dir) {
		return
	}
	if op[1].dir != nil && op[1].dir != op[0].dir {
		yield(op[1].dir)
	}
}

// commit makes the operation durable.
func (op *dirOp) commit() {
	for _, e := range op {
		if e.dir == nil || e.name == "" {
			continue
		}
		if e.to == nil {
			delete(e.dir.durable, e.name)
		} else {
			e.dir.durable[e.name] = e.to
		}
	}
}

// change applies an operation to the live names and remembers it as unsynced.
func (m *Mem) change(op dirOp) {
	for _, e := range op {
		if e.dir == nil || e.name == "" {
			continue
		}
		if e.to == nil {
			delete(e.dir.live, e.name)
		} else {
			e.dir.live[e.name] = e.to
		}
	}
	m.ops = append(m.ops, op)
}

// createFile makes an empty file under a name that is free.
func (m *Mem) createFile(dir *node, base string) *node {
	n := &node{}
	m.change(dirOp{{dir: dir, name: base, to: n}})
	return n
}

// unlink notes that a file lost its name; its space is free once no handle
// holds it.
func (m *Mem) unlink(n *node) {
	n.unlinked = true
	if n.opens == 0 {
		m.used -= n.allocated * pageSize
	}
}

// syncDir makes the operations on dir durable, and with them whatever must not
// be later than they: earlier operations on the other directories they touch.
func (m *Mem) syncDir(dir *node) {
	if len(m.ops) == 0 {
		return
	}
	needed := map[*node]bool{dir: true}
	commit := make([]bool, len(m.ops))
	for i := range slices.Backward(m.ops) {
		for d := range m.ops[i].dirs {
			commit[i] = commit[i] || needed[d]
		}
		if commit[i] {
			for d := range m.ops[i].dirs {
				needed[d] = true
			}
		}
	}
	kept := m.ops[:0]
	for i := range m.ops {
		if commit[i] {
			m.ops[i].commit()
		} else {
			kept = append(kept, m.ops[i])
		}
	}
	clear(m.ops[len(kept):])
	m.ops = kept
}
