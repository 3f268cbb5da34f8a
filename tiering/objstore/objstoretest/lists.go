package objstoretest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
)

// ordered are keys whose order differs from that of a walk through directories,
// which has "a-b" and "a.b" before "a/b" and "a0" behind it.
var ordered = []string{"a-b", "a.b", "a/b", "a/c/d", "a/c=d", "a0", "aa/1", "aa/10", "aa/2", "b/x"}

func testListOrder(t *testing.T, st objstore.Store) {
	if got := list(t, st, "", "", 10); len(got) != 0 {
		t.Fatalf("a new store lists %v", got)
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(ordered)) {
		put(t, st, ordered[i], []byte(ordered[i]))
	}
	if !slices.IsSorted(ordered) {
		t.Fatal("the test is wrong")
	}
	prefixes := []string{"", "a", "a/", "a/c", "a/c/", "aa", "aa/1", "b", "b/x", "b/x/", "c", "zz/"}
	for _, prefix := range prefixes {
		for _, after := range append([]string{"", "a", "a/", "a/b/c", "a/z", "0", "zz"}, ordered...) {
			want := []string{}
			for _, key := range ordered {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if got := list(t, st, prefix, after, 100); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q) = %v, want %v", prefix, after, got, want)
			}
		}
	}
	objects, err := st.List(t.Context(), "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Size != int64(len(o.Key)) || o.Modified.IsZero() {
			t.Errorf("listed %+v", o)
		}
	}
}

func testListPages(t *testing.T, st objstore.Store) {
	for _, key := range ordered {
		put(t, st, key, nil)
	}
	for limit := 1; limit <= len(ordered)+1; limit++ {
		var got []string
		for after := ""; ; {
			page := list(t, st, "", after, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, ordered) {
			t.Errorf("in pages of %d: %v", limit, got)
		}
	}
}

func testListMany(t *testing.T, st objstore.Store) {
	const n = objstore.ListMax + 50
	var want []string
	for i := range n {
		key := fmt.Sprintf("many/%05d", i)
		put(t, st, key, nil)
		want = append(want, key)
	}
	first := list(t, st, "", "", n)
	if !slices.Equal(first, want[:objstore.ListMax]) {
		t.Fatalf("the first page has %d of %d keys, or not the first ones", len(first), n)
	}
	second := list(t, st, "many/", first[len(first)-1], n)
	if !slices.Equal(second, want[objstore.ListMax:]) {
		t.Fatalf("the second page has %d keys", len(second))
	}
	if err := st.Delete(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if left := list(t, st, "", "", 1); len(left) != 0 {
		t.Errorf("left is %v", left)
	}
}

// testListProperty compares listings with a sorted list of keys, over random
// puts and deletes.
func testListProperty(t *testing.T, st objstore.Store) {
	const seed, steps = 42, 150
	rng := rand.New(rand.NewPCG(seed, seed))
	// Names of files and of directories differ, so no key is below another.
	name := func(letters string) string {
		b := make([]byte, 1+rng.IntN(2))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	random := func() string {
		key := ""
		for range rng.IntN(3) {
			key += name("ab-=") + "/"
		}
		return key + name("xyz0.") + "x"
	}
	var have []string
	for step := range steps {
		key := random()
		if objstore.CheckKey(key) != nil {
			continue // a name that begins with a dot
		}
		i, found := slices.BinarySearch(have, key)
		switch {
		case found && rng.IntN(2) == 0:
			if err := st.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			have = slices.Delete(have, i, i+1)
		case !found:
			put(t, st, key, []byte{1})
			have = slices.Insert(have, i, key)
		}
		other := random()
		prefix, after, limit := other[:rng.IntN(3)%len(other)], "", 1+rng.IntN(20)
		if len(have) > 0 && rng.IntN(2) == 0 {
			after = have[rng.IntN(len(have))]
		}
		if strings.HasPrefix(prefix, ".") || strings.Contains(prefix, "/.") {
			continue
		}
		want := []string{}
		for _, key := range have {
			if len(want) < limit && strings.HasPrefix(key, prefix) && key > after {
				want = append(want, key)
			}
		}
		if got := list(t, st, prefix, after, limit); !slices.Equal(got, want) {
			t.Fatalf("seed %d, step %d: List(%q, %q, %d) = %v, want %v", seed, step, prefix, after, limit, got, want)
		}
	}
}
