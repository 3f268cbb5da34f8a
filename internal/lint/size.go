package lint

import (
	"bytes"
	"fmt"
	"go/ast"
)

// Size checks the length of files and of functions.
func Size(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Go() {
		if ast.IsGenerated(f.AST) {
			continue
		}
		if n := lines(f.Src); n > maxFileLines {
			out = append(out, Finding{Rule: "size", Path: f.Path, Text: fmt.Sprintf("%d lines, at most %d: the file has two ideas", n, maxFileLines)})
		}
		if f.IsTest() {
			continue
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := 1 + t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line; n > maxFuncLines {
				out = append(out, t.at("size", f, fn.Pos(), "%s has %d lines, at most %d", fn.Name.Name, n, maxFuncLines))
			}
		}
	}
	return out
}

// lines counts the lines of src; a last line need not end in a newline.
func lines(src []byte) int {
	n := bytes.Count(src, []byte("\n"))
	if len(src) > 0 && src[len(src)-1] != '\n' {
		n++
	}
	return n
}
