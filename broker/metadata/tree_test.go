package metadata

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkTree verifies order, balance and size against a model.
func checkTree(t *testing.T, tr tree[int, int], model map[int]int) {
	t.Helper()
	want := slices.Sorted(maps.Keys(model))
	var got []int
	for k, v := range tr.all() {
		got = append(got, k)
		if model[k] != v {
			t.Fatalf("key %d has %d, want %d", k, v, model[k])
		}
	}
	if !slices.Equal(got, want) || tr.size != len(want) {
		t.Fatalf("keys %v size %d, want %v", got, tr.size, want)
	}
	var balance func(n *node[int, int]) int8
	balance = func(n *node[int, int]) int8 {
		if n == nil {
			return 0
		}
		l, r := balance(n.left), balance(n.right)
		if l-r > 1 || r-l > 1 || n.height != 1+max(l, r) {
			t.Fatalf("node %d: heights %d and %d, says %d", n.key, l, r, n.height)
		}
		return n.height
	}
	balance(tr.root)
}

func TestTreeAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tr, model := newTree[int, int](cmp.Compare), map[int]int{}
	type past struct {
		tree  tree[int, int]
		model map[int]int
	}
	var pasts []past
	for i := range 4000 {
		k := r.IntN(300)
		if r.IntN(2) == 0 {
			tr = tr.without(k)
			delete(model, k)
		} else {
			tr = tr.with(k, i)
			model[k] = i
		}
		if _, want := model[k]; want {
			if v, ok := tr.get(k); !ok || v != i {
				t.Fatalf("get %d: %d %v", k, v, ok)
			}
		}
		if i%50 == 0 {
			checkTree(t, tr, model)
			pasts = append(pasts, past{tr, maps.Clone(model)})
		}
	}
	for _, p := range pasts {
		checkTree(t, p.tree, p.model)
	}
}

func TestTreeSortedInsertsAndEarlyStop(t *testing.T) {
	tr, model := newTree[int, int](cmp.Compare), map[int]int{}
	for i := range 1000 {
		tr = tr.with(i, i)
		model[i] = i
	}
	checkTree(t, tr, model)
	n := 0
	for v := range tr.values() {
		if n++; v == 9 {
			break
		}
	}
	if n != 10 || tr.last().key != 999 {
		t.Fatalf("stopped after %d, last %d", n, tr.last().key)
	}
}
