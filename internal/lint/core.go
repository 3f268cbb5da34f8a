package lint

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// shellMarker starts the comment of a file that is free of the core rules.
const shellMarker = "//varve:shell"

// Core checks what can be seen in the syntax of a core file: no goroutine, no
// channel, no clock, no operating system, no randomness. Ranging over maps
// needs types and is checked by MapOrder.
func Core(t *Tree) []Finding {
	var out []Finding
	for _, f := range coreFiles(t, shells) {
		out = append(out, coreImportFindings(t, f)...)
		out = append(out, coreSyntaxFindings(t, f)...)
		out = append(out, coreNameFindings(t, f)...)
	}
	return out
}

// coreFiles returns the files that the core rules are for.
func coreFiles(t *Tree, shells []string) []*File {
	var out []*File
	for _, f := range t.Go() {
		if under(f.Path, cores) && !f.IsTest() && !slices.Contains(shells, f.Path) {
			out = append(out, f)
		}
	}
	return out
}

// Shells checks that the markers in the tree and the given list of shells name
// the same files, each with a reason.
func Shells(t *Tree, shells []string) []Finding {
	var out []Finding
	seen := map[string]bool{}
	for _, f := range t.Go() {
		reason, pos, marked := shellReason(f.AST)
		if !marked {
			continue
		}
		seen[f.Path] = true
		switch {
		case !under(f.Path, cores):
			out = append(out, t.at("shell", f, pos, "is in no core: the marker says nothing here"))
		case reason == "":
			out = append(out, t.at("shell", f, pos, "the marker needs a reason: %s <reason>", shellMarker))
		case !slices.Contains(shells, f.Path):
			out = append(out, t.at("shell", f, pos, "a new shell inside a core is named in internal/lint/table.go"))
		}
	}
	for _, name := range shells {
		if !seen[name] {
			out = append(out, Finding{Rule: "shell", Path: name, Text: "is named as a shell in internal/lint/table.go but is gone or carries no marker above its package clause"})
		}
	}
	return out
}

// shellReason finds the shell marker above the package clause.
func shellReason(file *ast.File) (reason string, pos token.Pos, ok bool) {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if c.Pos() > file.Package {
				return "", 0, false
			}
			rest, found := strings.CutPrefix(c.Text, shellMarker)
			if found && (rest == "" || rest[0] == ' ') {
				return strings.TrimSpace(rest), c.Pos(), true
			}
		}
	}
	return "", 0, false
}

func coreImportFindings(t *Tree, f *File) []Finding {
	var out []Finding
	for _, spec := range f.AST.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if why, bad := coreImports[imported]; bad {
			out = append(out, t.at("core", f, spec.Pos(), "a core does not import %s: %s", imported, why))
		}
		if spec.Name != nil && spec.Name.Name == "." {
			out = append(out, t.at("core", f, spec.Pos(), "a core has no dot import: it would hide which names it uses"))
		}
	}
	return out
}

func coreSyntaxFindings(t *Tree, f *File) []Finding {
	var out []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "starts no goroutine"
		case *ast.SelectStmt:
			what = "has no select"
		case *ast.ChanType:
			what = "has no channel"
		case *ast.SendStmt:
			what = "sends on no channel"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "receives from no channel"
			}
		}
		if what != "" {
			out = append(out, t.at("core", f, n.Pos(), "a core %s: return an effect", what))
		}
		return true
	})
	return out
}

func coreNameFindings(t *Tree, f *File) []Finding {
	imported := importNames(f.AST)
	var out []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		from := imported[pkg.Name]
		if why, bad := coreNames[from][sel.Sel.Name]; bad {
			out = append(out, t.at("core", f, sel.Pos(), "a core does not use %s.%s: %s", from, sel.Sel.Name, why))
		}
		return true
	})
	return out
}

// importNames returns the import path behind every package name of a file. A
// path's last element stands for the package name where the import has none,
// which is right for the standard library packages that the rules are about.
func importNames(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = imported
	}
	return out
}
