package lint

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// Leaks checks that the tests of every package judge what they leave: that some
// _test.go file has a TestMain that calls leak.Main. Exempt are packages in
// unjudged, by directory with the reason, and other modules.
func Leaks(t *Tree, unjudged map[string]string) []Finding {
	var modules []string // directories of other modules
	for _, f := range t.Files {
		if path.Base(f.Path) == "go.mod" && f.Dir() != "." {
			modules = append(modules, f.Dir())
		}
	}
	judged := map[string]bool{} // directories with tests
	for _, f := range t.Go() {
		if f.IsTest() && !under(f.Dir(), modules) {
			judged[f.Dir()] = judged[f.Dir()] || judges(f.AST)
		}
	}
	var out []Finding
	for _, dir := range slices.Sorted(maps.Keys(judged)) {
		_, exempt := unjudged[dir]
		switch {
		case exempt && judged[dir]:
			out = append(out, Finding{Rule: "leaks", Path: dir, Text: "is exempt and calls leak.Main: remove it from unjudged"})
		case !exempt && !judged[dir]:
			out = append(out, Finding{Rule: "leaks", Path: dir, Text: "has tests and no func TestMain(m *testing.M) { leak.Main(m) }"})
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(unjudged)) {
		if _, tests := judged[dir]; !tests {
			out = append(out, Finding{Rule: "leaks", Path: dir, Text: "is exempt and has no tests: remove it from unjudged"})
		}
		if strings.TrimSpace(unjudged[dir]) == "" {
			out = append(out, Finding{Rule: "leaks", Path: dir, Text: "is exempt without a reason"})
		}
	}
	return out
}

// judges reports whether a file has a TestMain that calls leak.Main, or Main
// inside of package leak.
func judges(f *ast.File) bool {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || fn.Name.Name != "TestMain" {
			continue
		}
		found := false
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				pkg, ok := fun.X.(*ast.Ident)
				found = found || ok && pkg.Name == "leak" && fun.Sel.Name == "Main"
			case *ast.Ident:
				found = found || f.Name.Name == "leak" && fun.Name == "Main"
			}
			return true
		})
		return found
	}
	return false
}
