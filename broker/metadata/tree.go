package metadata

import "iter"

// tree is a persistent ordered map: an AVL tree whose writes copy the path from
// the root to the changed node (about 13 nodes among 3,300 keys) and share the
// rest, so that older trees stay as they were. Its order makes iteration
// deterministic, and its worst case does not depend on the keys, which clients
// choose.
type tree[K, V any] struct {
	root *node[K, V]
	size int
	cmp  func(a, b K) int
}

// node is never changed once it can be reached from a tree.
type node[K, V any] struct {
	key         K
	value       V
	left, right *node[K, V]
	height      int8
}

func newTree[K, V any](cmp func(a, b K) int) tree[K, V] { return tree[K, V]{cmp: cmp} }

// get returns the value of a key and whether it is there.
func (t tree[K, V]) get(key K) (V, bool) {
	for n := t.root; n != nil; {
		switch c := t.cmp(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.value, true
		}
	}
	var zero V
	return zero, false
}

// with returns a tree in which key has the value.
func (t tree[K, V]) with(key K, value V) tree[K, V] {
	root, added := t.insert(t.root, key, value)
	if added {
		t.size++
	}
	t.root = root
	return t
}

// without returns a tree that lacks the key; t itself if it is not there.
func (t tree[K, V]) without(key K) tree[K, V] {
	if _, ok := t.get(key); !ok {
		return t
	}
	t.root = t.remove(t.root, key)
	t.size--
	return t
}

// all yields the entries in ascending order of their keys.
func (t tree[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.root.walk(yield) }
}

// values yields the values in ascending order of their keys.
func (t tree[K, V]) values() iter.Seq[V] {
	return func(yield func(V) bool) {
		t.root.walk(func(_ K, v V) bool { return yield(v) })
	}
}

func (n *node[K, V]) walk(yield func(K, V) bool) bool {
	return n == nil || (n.left.walk(yield) && yield(n.key, n.value) && n.right.walk(yield))
}

func (t tree[K, V]) insert(n *node[K, V], key K, value V) (*node[K, V], bool) {
	if n == nil {
		return &node[K, V]{key: key, value: value, height: 1}, true
	}
	m := *n
	var added bool
	switch c := t.cmp(key, n.key); {
	case c < 0:
		m.left, added = t.insert(n.left, key, value)
	case c > 0:
		m.right, added = t.insert(n.right, key, value)
	default:
		m.key, m.value = key, value
		return &m, false
	}
	return balanced(&m), added
}

func (t tree[K, V]) remove(n *node[K, V], key K) *node[K, V] {
	m := *n
	switch c := t.cmp(key, n.key); {
	case c < 0:
		m.left = t.remove(n.left, key)
	case c > 0:
		m.right = t.remove(n.right, key)
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	default:
		next := n.right
		for next.left != nil {
			next = next.left
		}
		m.key, m.value = next.key, next.value
		m.right = t.remove(n.right, next.key)
	}
	return balanced(&m)
}

func (n *node[K, V]) depth() int8 {
	if n == nil {
		return 0
	}
	return n.height
}

func (n *node[K, V]) measure() { n.height = 1 + max(n.left.depth(), n.right.depth()) }

// balanced restores the AVL property at n, a fresh copy whose subtrees have it
// and differ in height by at most two. A child that a rotation changes may be
// shared with an older tree, so it is copied first.
func balanced[K, V any](n *node[K, V]) *node[K, V] {
	switch lean := n.left.depth() - n.right.depth(); {
	case lean > 1:
		if n.left.left.depth() < n.left.right.depth() {
			n.left = rotatedLeft(copied(n.left))
		}
		return rotatedRight(n)
	case lean < -1:
		if n.right.right.depth() < n.right.left.depth() {
			n.right = rotatedRight(copied(n.right))
		}
		return rotatedLeft(n)
	}
	n.measure()
	return n
}

func copied[K, V any](n *node[K, V]) *node[K, V] {
	m := *n
	return &m
}

// rotatedLeft lifts the right child above n, which must be a fresh copy.
func rotatedLeft[K, V any](n *node[K, V]) *node[K, V] {
	top := copied(n.right)
	n.right = top.left
	n.measure()
	top.left = n
	top.measure()
	return top
}

// rotatedRight lifts the left child above n, which must be a fresh copy.
func rotatedRight[K, V any](n *node[K, V]) *node[K, V] {
	top := copied(n.left)
	n.left = top.right
	n.measure()
	top.right = n
	top.measure()
	return top
}

// last returns the node with the greatest key, nil in an empty tree.
func (t tree[K, V]) last() *node[K, V] {
	n := t.root
	for n != nil && n.right != nil {
		n = n.right
	}
	return n
}
