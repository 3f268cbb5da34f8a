package generated

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCheck(t *testing.T) {
	page := []byte(Marker("config") + "\n# Properties\n")
	tests := []struct {
		name    string
		path    string
		onDisk  []byte // nil: no file
		want    []byte
		update  bool
		wantErr error
	}{
		{"equal", "docs/reference/config.md", page, page, false, nil},
		{"one byte differs", "docs/reference/config.md", append(page[:len(page):len(page)], ' '), page, false, errStale},
		{"cut short", "docs/reference/config.md", page[:len(page)-3], page, false, errStale},
		{"missing", "docs/reference/config.md", nil, page, false, errStale},
		{"updated", "docs/reference/config.md", []byte("old"), page, true, nil},
		{"created", "docs/reference/config.md", nil, page, true, nil},
		{"no marker", "docs/reference/config.md", []byte("# Properties\n"), []byte("# Properties\n"), false, errNoMarker},
		{"no marker, updating", "docs/reference/config.md", nil, []byte("# Properties\n"), true, errNoMarker},
		{"marker without name", "docs/a.md", nil, []byte(Marker("")), true, errNoMarker},
		{"not Markdown", "deploy/dashboard.json", []byte("{}"), []byte("{}"), false, nil},
		{"outside", "../page.txt", nil, []byte("x"), true, fs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			full := filepath.Join(root, filepath.FromSlash(tt.path))
			if tt.onDisk != nil {
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, tt.onDisk, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := check(root, tt.path, tt.want, tt.update)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("check() = %v, want %v", err, tt.wantErr)
			}
			after, _ := os.ReadFile(full)
			wantAfter := tt.onDisk
			if tt.update && tt.wantErr == nil {
				wantAfter = tt.want
			}
			if string(after) != string(wantAfter) {
				t.Errorf("the file holds %q, want %q", after, wantAfter)
			}
		})
	}
}

func TestRootHoldsTheModule(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "internal", "lint", "generated", "generated.go")); err != nil {
		t.Errorf("Root() = %s: %v", root, err)
	}
}
