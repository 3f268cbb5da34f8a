package lint

import (
	"path"
	"strings"
)

// PackageDocs checks that every package says what it is for: in doc.go, with
// the usual first words; a main package in any file. Directories that hold
// nothing but tests are exempt.
func PackageDocs(t *Tree) []Finding {
	type pkg struct {
		name  string
		where string // file with the comment
		text  string
	}
	var dirs []string
	pkgs := map[string]*pkg{}
	for _, f := range t.Go() {
		dir := f.Dir()
		if f.IsTest() || !under(dir, documented) {
			continue
		}
		p := pkgs[dir]
		if p == nil {
			p = &pkg{name: f.AST.Name.Name}
			pkgs[dir] = p
			dirs = append(dirs, dir)
		}
		if f.AST.Doc != nil && (p.text == "" || path.Base(f.Path) == "doc.go") {
			p.where, p.text = path.Base(f.Path), f.AST.Doc.Text()
		}
	}
	var out []Finding
	for _, dir := range dirs {
		p := pkgs[dir]
		text := ""
		switch {
		case p.text == "":
			text = "package " + p.name + " has no package comment"
		case p.name == "main":
		case p.where != "doc.go":
			text = "package " + p.name + " has its comment in " + p.where + ": move it to doc.go"
		case !strings.HasPrefix(p.text, "Package "+p.name+" "):
			text = "the package comment starts with \"Package " + p.name + " \""
		}
		if text != "" {
			out = append(out, Finding{Rule: "package doc", Path: dir, Text: text})
		}
	}
	return out
}
