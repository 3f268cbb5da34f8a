package broker

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/vfs"
)

// ErrDirectory: the data directory cannot be used.
var ErrDirectory = errors.New("broker: data directory")

const (
	lockName     = "lock"
	identityName = "meta.properties" // docs/format/directory.md
	identityMax  = 4096
)

// identity is what a data directory knows of itself, for its whole life.
type identity struct {
	ClusterID   string
	NodeID      int32
	DirectoryID [16]byte
}

// openDirectory locks a data directory and reads its identity, or makes one in
// an empty directory.
func openDirectory(fs vfs.FS, nodeID int32, clusterID string) (identity, io.Closer, error) {
	lock, err := fs.Lock(lockName)
	if errors.Is(err, vfs.ErrLocked) {
		return identity{}, nil, fmt.Errorf("%w: another broker uses it; stop that one, or choose another directory with log.dirs", ErrDirectory)
	}
	if err != nil {
		return identity{}, nil, fmt.Errorf("%w: lock: %w", ErrDirectory, err)
	}
	id, err := readIdentity(fs, nodeID, clusterID)
	if err != nil {
		lock.Close()
		return identity{}, nil, err
	}
	return id, lock, nil
}

func readIdentity(fs vfs.FS, nodeID int32, clusterID string) (identity, error) {
	b, err := vfs.ReadFile(fs, identityName, identityMax)
	if errors.Is(err, vfs.ErrNotExist) {
		return makeIdentity(fs, nodeID, clusterID)
	}
	if err != nil {
		return identity{}, fmt.Errorf("%w: read %s: %w", ErrDirectory, identityName, err)
	}
	id, err := parseIdentity(string(b))
	switch {
	case err != nil:
		return id, err
	case id.NodeID != nodeID:
		return id, fmt.Errorf("%w: it belongs to node.id %d, but node.id is %d; set node.id=%d or choose another directory", ErrDirectory, id.NodeID, nodeID, id.NodeID)
	case clusterID != "" && id.ClusterID != clusterID:
		return id, fmt.Errorf("%w: it belongs to cluster %s, but cluster.id is %s; remove the setting or choose another directory", ErrDirectory, id.ClusterID, clusterID)
	}
	return id, nil
}

// makeIdentity begins a new directory, unless something that is ours stands in
// it already.
func makeIdentity(fs vfs.FS, nodeID int32, clusterID string) (identity, error) {
	entries, err := fs.List(".")
	if err != nil {
		return identity{}, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	for _, e := range entries {
		if e.Dir && (e.Name == "wal" || e.Name == "partitions") {
			return identity{}, fmt.Errorf("%w: it holds data (%s) but no %s; restore that file from a copy, since a new identity would not own the data", ErrDirectory, e.Name, identityName)
		}
	}
	id := identity{ClusterID: clusterID, NodeID: nodeID}
	if id.ClusterID == "" {
		var u [16]byte
		rand.Read(u[:])
		id.ClusterID = base64.RawURLEncoding.EncodeToString(u[:])
	}
	rand.Read(id.DirectoryID[:])
	if err := vfs.WriteFileAtomic(fs, identityName, []byte(id.String())); err != nil {
		return id, fmt.Errorf("%w: write %s: %w", ErrDirectory, identityName, err)
	}
	return id, nil
}

// String is the file's text.
func (id identity) String() string {
	body := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", id.ClusterID, id.NodeID, hex.EncodeToString(id.DirectoryID[:]))
	return fmt.Sprintf("%scrc=%08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func parseIdentity(text string) (identity, error) {
	var id identity
	bad := func(why string) (identity, error) {
		return id, fmt.Errorf("%w: %s %s; restore it from a copy", ErrDirectory, identityName, why)
	}
	at := strings.LastIndex(text, "crc=")
	if at < 0 || text[at:] != fmt.Sprintf("crc=%08x\n", crc32.Checksum([]byte(text[:at]), castagnoli)) {
		return bad("is damaged (checksum)")
	}
	for line := range strings.Lines(text[:at]) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "version":
			if value != "1" {
				return bad("has version " + value + ", this broker reads 1")
			}
		case "cluster.id":
			id.ClusterID = value
		case "node.id":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return bad("has a bad node.id")
			}
			id.NodeID = int32(n)
		case "directory.id":
			b, err := hex.DecodeString(value)
			if err != nil || len(b) != len(id.DirectoryID) {
				return bad("has a bad directory.id")
			}
			copy(id.DirectoryID[:], b)
		}
	}
	return id, nil
}
