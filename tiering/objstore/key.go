package objstore

import (
	"fmt"
	"strings"
)

const (
	// KeyBytesMax is the longest key, without the store's own prefix.
	KeyBytesMax = 512
	// nameBytesMax is the longest name between two slashes: file systems end at
	// 255.
	nameBytesMax = 200
)

// CheckKey tells whether key may name an object: at most KeyBytesMax bytes of
// ASCII letters, digits and "-_.=", in names of 1 to 200 bytes with a slash
// between them, none of which begins with a dot. The error is ErrInvalid.
//
// A key must not be another one with a slash and more behind it ("a" and "a/b"):
// directories cannot hold both, and neither can some S3 stores. The second is
// refused with ErrInvalid there.
func CheckKey(key string) error {
	if key == "" || len(key) > KeyBytesMax {
		return newError("check key", "", ErrInvalid, fmt.Sprintf("a key of %d bytes", len(key)))
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || len(name) > nameBytesMax || name[0] == '.' {
			return badKey(key)
		}
		for i := range len(name) {
			if !keyByte(name[i]) {
				return badKey(key)
			}
		}
	}
	return nil
}

// checkPrefix tells whether s is empty or the beginning of a key.
func checkPrefix(s string) error {
	if s == "" {
		return nil
	}
	if s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return CheckKey(s)
}

func badKey(key string) error {
	return newError("check key", "", ErrInvalid, fmt.Sprintf("key %q", key))
}

func keyByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '_' || c == '.' || c == '='
}
