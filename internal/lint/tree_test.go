package lint

import (
	"testing"

	"github.com/varvelog/varve/internal/lint/generated"
)

// TestTree judges the repository by every rule.
func TestTree(t *testing.T) {
	root, err := generated.Root()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := LoadTree(root)
	if err != nil {
		t.Fatal(err)
	}
	info, err := CoreTypes(tree, root)
	if err != nil {
		t.Fatal(err)
	}
	rules := []struct {
		name     string
		findings []Finding
	}{
		{"Parse", tree.Bad},
		{"Imports", Imports(tree)},
		{"Core", Core(tree)},
		{"Shells", Shells(tree, shells)},
		{"MapOrder", MapOrder(tree, info)},
		{"Size", Size(tree)},
		{"Leaks", Leaks(tree, unjudged)},
		{"Attributes", Attributes(tree)},
		{"PackageDocs", PackageDocs(tree)},
		{"ForeignText", ForeignText(tree)},
		{"Links", Links(tree)},
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.findings {
				t.Error(f)
			}
		})
	}
}

// TestLoadTreeSeesTheRepository guards against a walk that skips too much: the
// rules would pass on an empty tree.
func TestLoadTreeSeesTheRepository(t *testing.T) {
	root, err := generated.Root()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := LoadTree(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"go.mod": true, "Makefile": true, ".ci/run": true, "README.md": true, "internal/lint/table.go": true}
	for _, f := range tree.Files {
		delete(want, f.Path)
		if top(f.Path) == ".git" || top(f.Path) == "bin" {
			t.Errorf("%s is no part of the repository", f.Path)
		}
	}
	for name := range want {
		t.Errorf("%s was not read", name)
	}
}
