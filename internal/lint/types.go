package lint

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// errNoExport reports an import for which the go command has no export data,
// mostly because the package does not compile.
var errNoExport = errors.New("lint: no export data")

// CoreTypes type-checks the core packages of the tree at root and returns their
// types. The go command compiles what they import and names the files of each
// package in this build; errors in a package leave its types incomplete, which
// MapOrder reports where it matters.
func CoreTypes(t *Tree, root string) (*types.Info, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	dirs := map[string][]*File{}
	var patterns []string
	for _, f := range coreFiles(t, nil) {
		dir := f.Dir()
		if dirs[dir] == nil {
			patterns = append(patterns, "./"+dir)
		}
		dirs[dir] = append(dirs[dir], f)
	}
	if len(patterns) == 0 {
		return info, nil
	}
	listed, err := goList(root, patterns)
	if err != nil {
		return nil, err
	}
	imp := exportImporter(t.Fset, listed)
	for _, pattern := range patterns {
		dir := strings.TrimPrefix(pattern, "./")
		built := listed[module+"/"+dir].files
		var files []*ast.File
		for _, f := range dirs[dir] {
			if slices.Contains(built, strings.TrimPrefix(f.Path, dir+"/")) {
				files = append(files, f.AST)
			}
		}
		typeCheck(t.Fset, module+"/"+dir, files, imp, info)
	}
	return info, nil
}

// typeCheck fills info with what can be known about the files, errors or not.
func typeCheck(fset *token.FileSet, pkg string, files []*ast.File, imp types.Importer, info *types.Info) {
	conf := types.Config{Importer: imp, Error: func(error) {}}
	_, _ = conf.Check(pkg, fset, files, info) // go vet reports the errors themselves
}

// A listedPackage is what the go command knows of a package.
type listedPackage struct {
	export string   // file with its export data, "" if it does not compile
	files  []string // Go files of this build, without their directory
}

// goList asks the go command for packages and everything they import.
func goList(root string, patterns []string) (map[string]listedPackage, error) {
	args := append([]string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{join .GoFiles \" \"}}"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(patterns, " "), err, &stderr)
	}
	out := map[string]listedPackage{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("go list: unexpected line %q", line)
		}
		out[fields[0]] = listedPackage{export: fields[1], files: strings.Fields(fields[2])}
	}
	return out, nil
}

// exportImporter imports packages from the export data that goList found.
func exportImporter(fset *token.FileSet, listed map[string]listedPackage) types.Importer {
	return importer.ForCompiler(fset, "gc", func(pkg string) (io.ReadCloser, error) {
		if listed[pkg].export == "" {
			return nil, fmt.Errorf("import %s: %w", pkg, errNoExport)
		}
		return os.Open(listed[pkg].export)
	})
}
