package lint

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
)

var attributeRule = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// Attributes checks that the attributes of log messages are in snake case and
// have the one name of what they are about. It looks at calls whose function has
// the name of one of log/slog's and whose keys are literals.
func Attributes(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Go() {
		if f.IsTest() {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				for _, key := range attributesOf(c) {
					name, err := strconv.Unquote(key.Value)
					switch want := logAttributes[name]; {
					case err != nil || !attributeRule.MatchString(name):
						out = append(out, t.at("attributes", f, key.Pos(), "attribute %s is not in snake case", key.Value))
					case want != "":
						out = append(out, t.at("attributes", f, key.Pos(), "attribute %s is called %q everywhere", key.Value, want))
					}
				}
			}
			return true
		})
	}
	return out
}

// attributesOf returns the keys that stand in a call of a logger.
func attributesOf(c *ast.CallExpr) (keys []*ast.BasicLit) {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	first, known := logCalls[sel.Sel.Name]
	if x, ok := sel.X.(*ast.Ident); ok && x.Name == "http" {
		return nil // http.Error
	}
	if !known || len(c.Args) < first+2 || (len(c.Args)-first)%2 != 0 {
		return nil // not slog's, or attributes that are values of their own
	}
	for i := first; i < len(c.Args); i += 2 {
		lit, ok := c.Args[i].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return keys
		}
		keys = append(keys, lit)
	}
	return keys
}
