package remote

// lru keeps values in the order of their last use, with a cost each. It is not
// safe for concurrent use.
type lru[K comparable, V any] struct {
	nodes map[K]*lruNode[K, V]
	root  lruNode[K, V] // of the ring: next is the newest, prev the oldest
	cost  int64         // of all values
}

type lruNode[K comparable, V any] struct {
	prev, next *lruNode[K, V]
	key        K
	value      V
	cost       int64
}

func newLRU[K comparable, V any]() *lru[K, V] {
	l := &lru[K, V]{nodes: map[K]*lruNode[K, V]{}}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru[K, V]) len() int { return len(l.nodes) }

// get returns a value and makes it the newest.
func (l *lru[K, V]) get(key K) (v V, ok bool) {
	n := l.nodes[key]
	if n == nil {
		return v, false
	}
	n.unlink()
	l.link(n)
	return n.value, true
}

// peek returns where a value is, nil if it is not there.
func (l *lru[K, V]) peek(key K) *V {
	if n := l.nodes[key]; n != nil {
		return &n.value
	}
	return nil
}

// put adds or replaces a value and makes it the newest.
func (l *lru[K, V]) put(key K, v V, cost int64) {
	l.remove(key)
	n := &lruNode[K, V]{key: key, value: v, cost: cost}
	l.nodes[key] = n
	l.cost += cost
	l.link(n)
}

func (l *lru[K, V]) remove(key K) bool {
	n := l.nodes[key]
	if n == nil {
		return false
	}
	delete(l.nodes, key)
	l.cost -= n.cost
	n.unlink()
	return true
}

// oldest returns the value that was used longest ago.
func (l *lru[K, V]) oldest() (key K, v V, ok bool) {
	if n := l.root.prev; n != &l.root {
		return n.key, n.value, true
	}
	return key, v, false
}

// each calls fn with all values, newest first.
func (l *lru[K, V]) each(fn func(K, *V)) {
	for n := l.root.next; n != &l.root; n = n.next {
		fn(n.key, &n.value)
	}
}

func (n *lruNode[K, V]) unlink() { n.prev.next, n.next.prev = n.next, n.prev }

func (l *lru[K, V]) link(n *lruNode[K, V]) {
	n.prev, n.next = &l.root, l.root.next
	n.prev.next, n.next.prev = n, n
}
