package lint

import (
	"slices"
	"strconv"
	"strings"
)

// Imports checks that imports go down the layers only and that confined
// dependencies stay where table.go puts them.
func Imports(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Go() {
		for _, spec := range f.AST.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser accepts only literals that unquote
			}
			text := layerBreach(f, imported)
			if text == "" {
				text = confinementBreach(f, imported)
			}
			if text != "" {
				out = append(out, t.at("imports", f, spec.Pos(), "%s", text))
			}
		}
	}
	return out
}

// layerBreach says why f may not import a package of this module, or "".
func layerBreach(f *File, imported string) string {
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return ""
	}
	from, to := top(f.Dir()), top(target)
	allowed, known := layers[from]
	switch {
	case !known:
		return "directory " + from + " has no layer: name it in internal/lint/table.go"
	case from == to || slices.Contains(allowed, to):
		return ""
	case under(f.Dir(), layerFree):
		return ""
	}
	return from + " imports " + target + ": imports go down only (cmd, broker, {tiering, plugins, wasm}, internal)"
}

// confinementBreach says why f may not import a confined dependency, or "".
func confinementBreach(f *File, imported string) string {
	for _, c := range confined {
		if !under(imported, c.paths) || under(f.Dir(), c.in) {
			continue
		}
		if c.tests && (f.IsTest() || under(f.Dir(), []string{"tests", "benchmarks"})) {
			continue
		}
		if len(c.in) == 0 {
			return c.name + " is imported nowhere: give it an owner in internal/lint/table.go first"
		}
		return c.name + " stays in " + strings.Join(c.in, ", ")
	}
	return ""
}

// top returns the first element of a slash-separated path.
func top(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}
