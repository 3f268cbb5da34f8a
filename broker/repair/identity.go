package repair

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// ErrIdentity: the directory does not say whose it is, so it cannot be told which
// of its files belong to it.
var ErrIdentity = errors.New("repair: data directory has no identity")

const (
	identityName = "meta.properties" // docs/format/directory.md
	identityMax  = 4096
)

// Identity is whose a data directory is.
type Identity struct {
	Cluster   string
	Node      ident.NodeID
	Directory [16]byte
}

// ReadIdentity reads the directory's meta.properties. It fails with ErrIdentity
// if that is missing or damaged.
func ReadIdentity(fs vfs.FS) (Identity, error) {
	var id Identity
	b, err := vfs.ReadFile(fs, identityName, identityMax)
	if errors.Is(err, vfs.ErrNotExist) {
		return id, fmt.Errorf("%w: there is no %s", ErrIdentity, identityName)
	}
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	text := string(b)
	at := strings.LastIndex(text, "crc=")
	if at < 0 || text[at:] != fmt.Sprintf("crc=%08x\n", crc32.Checksum(b[:at], castagnoli)) {
		return id, fmt.Errorf("%w: %s is damaged (checksum); restore it from a copy", ErrIdentity, identityName)
	}
	for line := range strings.Lines(text[:at]) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "version":
			if value != "1" {
				return id, fmt.Errorf("%w: %s has version %s, this program reads 1", ErrIdentity, identityName, value)
			}
		case "cluster.id":
			id.Cluster = value
		case "node.id":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return id, fmt.Errorf("%w: %s has a bad node.id", ErrIdentity, identityName)
			}
			id.Node = ident.NodeID(n)
		case "directory.id":
			d, err := hex.DecodeString(value)
			if err != nil || len(d) != len(id.Directory) {
				return id, fmt.Errorf("%w: %s has a bad directory.id", ErrIdentity, identityName)
			}
			copy(id.Directory[:], d)
		}
	}
	return id, nil
}
