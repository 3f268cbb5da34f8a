package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// MapOrder checks that core files range over a map only where the statement
// says why the order does not show: a comment "// order: <reason>" on its line
// or on the line above. The same holds for the iterators of package maps unless
// their result goes straight into a sort. Info must hold the types of the files
// of every core; where it does not, the rule reports that it cannot tell.
func MapOrder(t *Tree, info *types.Info) []Finding {
	var out []Finding
	for _, f := range coreFiles(t, shells) {
		m := mapOrder{t: t, f: f, info: info, excused: orderLines(t.Fset, f.AST), imports: importNames(f.AST)}
		ast.Inspect(f.AST, m.visit)
		out = append(out, m.out...)
	}
	return out
}

type mapOrder struct {
	t       *Tree
	f       *File
	info    *types.Info
	excused map[int]bool
	imports map[string]string
	sorted  ast.Expr // the argument of a sorting call that is being visited
	out     []Finding
}

func (m *mapOrder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.RangeStmt:
		m.rangeStmt(n)
	case *ast.CallExpr:
		if m.calls(n, "slices", "Sorted", "SortedFunc", "SortedStableFunc") && len(n.Args) > 0 {
			m.sorted = n.Args[0]
		}
		if m.calls(n, "maps", "All", "Keys", "Values") && ast.Expr(n) != m.sorted {
			m.report(n.Pos(), "the order of a map iterator differs in every run: sort it, or say why with // order: <reason>")
		}
	}
	return true
}

func (m *mapOrder) rangeStmt(n *ast.RangeStmt) {
	if n.Key == nil && n.Value == nil {
		return // only the number of turns shows
	}
	typ := m.info.TypeOf(n.X)
	if typ == nil || typ == types.Typ[types.Invalid] {
		m.report(n.Pos(), "cannot tell whether this ranges over a map: the file was not type-checked")
		return
	}
	if rangesOverMap(typ) {
		m.report(n.Pos(), "the order of a map differs in every run: sort the keys, or say why with // order: <reason>")
	}
	if _, ok := typ.Underlying().(*types.Chan); ok {
		m.out = append(m.out, m.t.at("core", m.f, n.Pos(), "a core receives from no channel: return an effect"))
	}
}

// rangesOverMap reports whether a value of the type may be a map. A type
// parameter may be if any type of its constraint is.
func rangesOverMap(typ types.Type) bool {
	if p, ok := types.Unalias(typ).(*types.TypeParam); ok {
		iface, _ := p.Constraint().Underlying().(*types.Interface)
		for i := range iface.NumEmbeddeds() {
			if unionHasMap(iface.EmbeddedType(i)) {
				return true
			}
		}
		return false
	}
	_, ok := typ.Underlying().(*types.Map)
	return ok
}

func unionHasMap(typ types.Type) bool {
	u, ok := typ.(*types.Union)
	if !ok {
		return rangesOverMap(typ)
	}
	for i := range u.Len() {
		if rangesOverMap(u.Term(i).Type()) {
			return true
		}
	}
	return false
}

// calls reports whether the call is to one of the named functions of a package.
func (m *mapOrder) calls(call *ast.CallExpr, pkg string, names ...string) bool {
	fun := call.Fun
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || m.imports[x.Name] != pkg {
		return false
	}
	for _, name := range names {
		if sel.Sel.Name == name {
			return true
		}
	}
	return false
}

func (m *mapOrder) report(pos token.Pos, text string) {
	line := m.t.Fset.Position(pos).Line
	if m.excused[line] || m.excused[line-1] {
		return
	}
	m.out = append(m.out, m.t.at("map order", m.f, pos, "%s", text))
}

// orderLines returns the lines that an order comment with a reason ends on.
func orderLines(fset *token.FileSet, file *ast.File) map[int]bool {
	out := map[int]bool{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			reason, ok := strings.CutPrefix(c.Text, "// order:")
			if ok && strings.TrimSpace(reason) != "" {
				// The reason may go on over the rest of the comment.
				out[fset.Position(c.Pos()).Line] = true
				out[fset.Position(group.End()).Line] = true
			}
		}
	}
	return out
}
