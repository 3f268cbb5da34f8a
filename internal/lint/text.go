package lint

import (
	"bytes"
	"fmt"
)

// ForeignText checks that no text file names a path of one machine or a host
// that packages are fetched from.
func ForeignText(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if !isText(f.Src) {
			continue
		}
		for _, s := range foreignText {
			if at := indexForeign(f.Src, s); at >= 0 {
				out = append(out, Finding{Rule: "foreign text", Path: f.Path, Line: lineOf(f.Src, at), Text: fmt.Sprintf("contains %q, which belongs to one machine", s)})
			}
		}
	}
	return out
}

// indexForeign returns where s first stands in src, -1 if nowhere. An absolute
// path does not count in the middle of a longer path or address.
func indexForeign(src []byte, s string) int {
	for start := 0; ; {
		i := bytes.Index(src[start:], []byte(s))
		if i < 0 {
			return -1
		}
		at := start + i
		if s[0] != '/' || at == 0 || !isPathByte(src[at-1]) {
			return at
		}
		start = at + 1
	}
}

func isPathByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return bytes.IndexByte([]byte("._-~}$*"), c) >= 0
}
