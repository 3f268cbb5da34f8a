package objstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// namesMax is how many names of one directory a listing holds in memory, before
// it drops the greatest.
const namesMax = 4 * ListMax

// List walks only the directories in which something can match.
func (s *fileStore) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	limit, err := checkList(prefix, after, limit)
	if err != nil {
		return nil, err
	}
	w := &fileWalk{s: s, ctx: ctx, prefix: prefix, after: after, limit: limit}
	if err := w.dir(""); err != nil {
		return nil, err
	}
	return w.found, nil
}

type fileWalk struct {
	s             *fileStore
	ctx           context.Context
	prefix, after string
	limit         int
	found         []Object
}

// dir adds the objects of a directory, "" or a path with a slash at its end, in
// the order of their keys: a directory stands where its name with a slash does.
func (w *fileWalk) dir(dir string) error {
	from := ""
	for len(w.found) < w.limit {
		paths, more, err := w.read(dir, from)
		if err != nil {
			return err
		}
		for _, p := range paths {
			if len(w.found) == w.limit {
				return nil
			}
			if strings.HasSuffix(p, "/") {
				err = w.dir(p)
			} else {
				err = w.file(p)
			}
			if err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		from = paths[len(paths)-1]
	}
	return nil
}

func (w *fileWalk) file(key string) error {
	st, err := w.s.root.Lstat(key)
	if missing(err) == errMissing {
		return nil // deleted since its name was read
	}
	if err != nil {
		return w.s.fail("list", key, err)
	}
	w.found = append(w.found, Object{Key: key, Size: st.Size(), Modified: st.ModTime()})
	return nil
}

// read returns the least paths in a directory that are greater than from and
// matter to the listing, sorted, and whether it left some out.
func (w *fileWalk) read(dir, from string) (paths []string, more bool, err error) {
	name := strings.TrimSuffix(dir, "/")
	if name == "" {
		name = "."
	}
	d, err := w.s.root.Open(name)
	if err != nil {
		if missing(err) == errMissing && dir != "" {
			return nil, false, nil
		}
		return nil, false, w.s.fail("list", name, noDir(err))
	}
	defer d.Close()
	for {
		if err := w.s.ready(w.ctx, "list", w.prefix); err != nil {
			return nil, false, err
		}
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			if p := dir + e.Name(); w.matters(&p, e) && p > from {
				paths = append(paths, p)
			}
		}
		if len(paths) > namesMax {
			slices.Sort(paths)
			paths, more = paths[:namesMax/2], true
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(paths)
			return paths, more, nil
		}
		if err != nil {
			return nil, false, w.s.fail("list", name, err)
		}
	}
}

// matters tells whether an entry is, or may hold, an object of the listing, and
// adds the slash to the path of a directory.
func (w *fileWalk) matters(p *string, e fs.DirEntry) bool {
	if CheckKey(*p) != nil {
		return false
	}
	if e.IsDir() {
		*p += "/"
		inPrefix := strings.HasPrefix(*p, w.prefix) || strings.HasPrefix(w.prefix, *p)
		return inPrefix && (*p > w.after || strings.HasPrefix(w.after, *p))
	}
	return e.Type().IsRegular() && strings.HasPrefix(*p, w.prefix) && *p > w.after
}
