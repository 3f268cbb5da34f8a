package lint

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	inlineLink = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	refLink    = regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)`)
	codeSpan   = regexp.MustCompile("`[^`]*`")
	hasScheme  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)
)

// Links checks that every Markdown link to a file or directory of the
// repository leads to one.
func Links(t *Tree) []Finding {
	exists := map[string]bool{".": true}
	for _, f := range t.Files {
		for p := f.Path; p != "."; p = path.Dir(p) {
			exists[p] = true
		}
	}
	var out []Finding
	for _, f := range t.Files {
		if path.Ext(f.Path) != ".md" {
			continue
		}
		for _, l := range markdownLinks(f.Src) {
			if text := brokenLink(f, l.target, exists); text != "" {
				out = append(out, Finding{Rule: "links", Path: f.Path, Line: l.line, Text: text})
			}
		}
	}
	return out
}

// brokenLink says what is wrong with a link from f, or "".
func brokenLink(f *File, target string, exists map[string]bool) string {
	if strings.HasPrefix(target, "#") || strings.HasPrefix(target, "//") || hasScheme.MatchString(target) {
		return ""
	}
	file, _, _ := strings.Cut(target, "#")
	file, err := url.PathUnescape(file)
	if err != nil {
		return fmt.Sprintf("link %q: %v", target, err)
	}
	full := path.Join(f.Dir(), file)
	if strings.HasPrefix(file, "/") {
		full = path.Clean(strings.TrimPrefix(file, "/"))
	}
	if !exists[full] {
		return fmt.Sprintf("link %q leads to %s, which does not exist", target, full)
	}
	return ""
}

type link struct {
	target string
	line   int
}

// markdownLinks returns the targets of inline links, images and reference
// definitions outside code.
func markdownLinks(src []byte) []link {
	var out []link
	fence := ""
	for i, raw := range bytes.Split(src, []byte("\n")) {
		text := string(raw)
		trimmed := strings.TrimLeft(text, " \t>")
		if fence != "" {
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
			continue
		}
		if strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~") {
			fence = trimmed[:3]
			continue
		}
		text = codeSpan.ReplaceAllString(text, "``")
		for _, m := range inlineLink.FindAllStringSubmatch(text, -1) {
			out = append(out, link{m[1], i + 1})
		}
		if m := refLink.FindStringSubmatch(text); m != nil {
			out = append(out, link{m[1], i + 1})
		}
	}
	return out
}
