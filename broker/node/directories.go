package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// partitionsDir holds a directory for each replica, named by topic id,
// partition and replica id, none of which is ever used again. A replica that
// adopted another one's state has a directory with the number of its incarnation
// behind the name.
const partitionsDir = "partitions"

// deletedSuffix is added to the name of a replica's directory for the file that
// marks it as one whose deletion was applied.
const deletedSuffix = ".deleted"

func replicaDir(id ident.Partition, r ident.ReplicaID) string {
	return fmt.Sprintf("%s/%s.%d", partitionsDir, id.Dir(), r)
}

// directory is one that a replica had when partitionsDir was listed, or of which
// the mark of its deletion is left.
type directory struct {
	path        string
	incarnation uint64
	marked      bool
}

// directories has what partitionsDir held when it was listed, for each replica by
// the name that its first directory has, ascending by incarnation.
type directories map[string][]directory

func listDirectories(fs vfs.FS) (directories, error) {
	entries, err := fs.List(partitionsDir)
	if err != nil {
		return nil, fmt.Errorf("list the directories of replicas: %w", err)
	}
	d := directories{}
	for _, e := range entries {
		name, marked := strings.CutSuffix(e.Name, deletedSuffix)
		replica, incarnation, ok := parseDirectory(name)
		if !ok || e.Dir == marked {
			continue
		}
		list := d[replica]
		i := slices.IndexFunc(list, func(x directory) bool { return x.incarnation == incarnation })
		if i < 0 {
			i = len(list)
			list = append(list, directory{path: partitionsDir + "/" + name, incarnation: incarnation})
		}
		list[i].marked = list[i].marked || marked
		d[replica] = list
	}
	for _, list := range d { // order: each by itself
		slices.SortFunc(list, func(a, b directory) int { return cmp.Compare(a.incarnation, b.incarnation) })
	}
	return d, nil
}

// parseDirectory returns which replica's directory one of partitionsDir is, and
// of which incarnation.
func parseDirectory(name string) (replica string, incarnation uint64, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return "", 0, false
	}
	if len(parts) == 3 {
		v, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil || v == 0 {
			return "", 0, false
		}
		incarnation = v
	}
	replica = partitionsDir + "/" + parts[0] + "." + parts[1]
	_, ok = replicaOf(replica)
	return replica, incarnation, ok
}

// replicaOf returns the replica id in the name of a replica's first directory.
func replicaOf(replica string) (ident.ReplicaID, bool) {
	_, id, _ := strings.Cut(replica, ".")
	v, err := strconv.ParseUint(id, 10, 64)
	return ident.ReplicaID(v), err == nil
}

// replicas returns whose directories there are, in a fixed order.
func (d directories) replicas() []string { return slices.Sorted(maps.Keys(d)) }

// highest returns the highest incarnation that a replica has a directory of.
func (d directories) highest(replica string) uint64 {
	if list := d[replica]; len(list) > 0 {
		return list[len(list)-1].incarnation
	}
	return 0
}

// others returns the directories of a replica but for the one that it uses.
func (d directories) others(replica string, uses uint64) (paths []string) {
	for _, x := range d[replica] {
		if x.incarnation != uses {
			paths = append(paths, x.path)
		}
	}
	return paths
}

// marked reports whether the deletion of a replica was applied once, as far as
// the marks say.
func (d directories) marked(replica string) bool {
	return slices.ContainsFunc(d[replica], func(x directory) bool { return x.marked })
}
