package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Finding is one breach of one rule.
type Finding struct {
	Rule string // the rule's short name
	Path string // slash-separated, relative to the root
	Line int    // 0 if the finding is about the whole file or directory
	Text string // what is wrong and what to do instead
}

// String returns the finding as one line that an editor can jump to.
func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s [%s]", f.Path, f.Text, f.Rule)
	}
	return fmt.Sprintf("%s:%d: %s [%s]", f.Path, f.Line, f.Text, f.Rule)
}

// A File is one file of the tree.
type File struct {
	Path string    // slash-separated, relative to the root
	Src  []byte    // its content; not to be changed
	AST  *ast.File // of a Go file outside testdata that parses, else nil
}

// Dir returns the slash-separated directory of the file, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// IsTest reports whether the file is compiled only for tests.
func (f *File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// A Tree is a set of files with one position table.
type Tree struct {
	Fset  *token.FileSet
	Files []*File   // sorted by path
	Bad   []Finding // Go files that do not parse
}

// NewTree returns a tree without files.
func NewTree() *Tree { return &Tree{Fset: token.NewFileSet()} }

// Add parses src if it is Go and adds it. Files must be added in the order of
// their paths. The tree keeps src.
func (t *Tree) Add(name string, src []byte) {
	f := &File{Path: name, Src: src}
	t.Files = append(t.Files, f)
	if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
		return
	}
	parsed, err := parser.ParseFile(t.Fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Bad = append(t.Bad, Finding{Rule: "parse", Path: name, Text: err.Error()})
		return
	}
	f.AST = parsed
}

// Go returns the Go files that were parsed.
func (t *Tree) Go() []*File {
	var out []*File
	for _, f := range t.Files {
		if f.AST != nil {
			out = append(out, f)
		}
	}
	return out
}

// at returns a finding at a position in f.
func (t *Tree) at(rule string, f *File, pos token.Pos, format string, args ...any) Finding {
	return Finding{Rule: rule, Path: f.Path, Line: t.Fset.Position(pos).Line, Text: fmt.Sprintf(format, args...)}
}

// LoadTree reads every file of the repository at root, apart from what
// table.go says is no part of it.
func LoadTree(root string) (*Tree, error) {
	t := NewTree()
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("walk %s: %w", full, err)
		}
		rel, err := filepath.Rel(root, full)
		if err != nil {
			return fmt.Errorf("walk %s: %w", full, err)
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if slices.Contains(skippedDirs, d.Name()) || slices.Contains(skippedDirs, "./"+name) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		src, err := os.ReadFile(full)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		t.Add(name, src)
		return nil
	})
	return t, err
}

// under reports whether name is one of dirs or lies below one of them.
func under(name string, dirs []string) bool {
	for _, d := range dirs {
		if name == d || strings.HasPrefix(name, d+"/") {
			return true
		}
	}
	return false
}

// isText reports whether src looks like text: no NUL byte near its start.
func isText(src []byte) bool {
	return bytes.IndexByte(src[:min(len(src), 8192)], 0) < 0
}

// lineOf returns the line, counted from 1, of a byte offset in src.
func lineOf(src []byte, offset int) int { return 1 + bytes.Count(src[:offset], []byte("\n")) }
