package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An entry is one setting as a source has it.
type entry struct {
	KV
	where string // "server.properties:12", "VARVE_LOG_DIRS", "--set"
}

// Errors of files that cannot be read as what they are said to be.
var (
	errTooLarge   = fmt.Errorf("larger than %d bytes: settings are small, is this the right file?", MaxFileBytes)
	errProperties = errors.New("malformed properties file")
	errYAML       = errors.New("malformed YAML file")
)

// parseProperties reads a Java properties file: comments with # and !,
// continuation by a backslash at the end of a line, and the escapes \t \n \r \f
// and \uXXXX. The file is UTF-8. Settings come in the order of the file.
func parseProperties(f File) ([]entry, error) {
	if len(f.Data) > MaxFileBytes {
		return nil, fmt.Errorf("%s: %w", f.Name, errTooLarge)
	}
	if !utf8.Valid(f.Data) {
		return nil, fmt.Errorf("%s: %w: not UTF-8", f.Name, errProperties)
	}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(f.Data), "\ufeff"))
	lines := strings.Split(text, "\n")
	var out []entry
	for i := 0; i < len(lines); i++ {
		first := i
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		var whole strings.Builder
		for continued(line) {
			whole.WriteString(line[:len(line)-1])
			if i++; i == len(lines) {
				line = ""
				break
			}
			line = strings.TrimLeft(lines[i], " \t\f")
		}
		whole.WriteString(line)
		kv, err := splitProperty(whole.String())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w: %w", f.Name, first+1, errProperties, err)
		}
		out = append(out, entry{kv, f.Name + ":" + strconv.Itoa(first+1)})
	}
	return out, nil
}

// continued reports whether the line ends in a backslash that is not itself
// escaped.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// splitProperty splits a logical line at the first =, : or space that is not
// escaped, and resolves the escapes on both sides.
func splitProperty(line string) (KV, error) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	name, err := unescape(line[:end])
	if err != nil {
		return KV{}, err
	}
	value, err := unescape(rest)
	if err != nil {
		return KV{}, err
	}
	if name == "" {
		return KV{}, errors.New("a line without a name")
	}
	return KV{name, value}, nil
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			if s[i] != '\\' {
				out.WriteByte(s[i])
			}
			continue
		}
		i++
		switch s[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			r, size, err := unescapeUnicode(s[i+1:])
			if err != nil {
				return "", err
			}
			out.WriteRune(r)
			i += size
		default:
			out.WriteByte(s[i])
		}
	}
	return out.String(), nil
}

// unescapeUnicode reads the digits behind \u, and a second escape where the
// first is half of a surrogate pair. It returns how many bytes it used.
func unescapeUnicode(s string) (rune, int, error) {
	hex := func(s string) (rune, bool) {
		if len(s) < 4 {
			return 0, false
		}
		n, err := strconv.ParseUint(s[:4], 16, 16)
		return rune(n), err == nil
	}
	r, ok := hex(s)
	if !ok {
		return 0, 0, errors.New(`\u without four hexadecimal digits`)
	}
	if !utf16.IsSurrogate(r) {
		return r, 4, nil
	}
	if len(s) >= 6 && s[4:6] == `\u` {
		if low, ok := hex(s[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 10, nil
			}
		}
	}
	return 0, 0, errors.New(`\u with half of a surrogate pair`)
}
