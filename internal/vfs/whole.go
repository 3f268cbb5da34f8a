package vfs

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// tempSuffix marks a file that WriteFileAtomic has not finished.
const tempSuffix = ".tmp"

// ReadFile returns the content of a whole file, which the caller owns. A file
// longer than limit bytes is ErrTooLarge, and nothing is allocated for it. A
// file that shrinks meanwhile is io.ErrUnexpectedEOF.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f, limit)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read file %q: %w", name, err)
	}
	return data, nil
}

func readAll(f File, limit int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrTooLarge, size, limit)
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if n == len(data) {
		return data, nil
	}
	if err == io.EOF || err == nil {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// WriteFileAtomic replaces the content of a file, or makes it: after a crash at
// any point it has the old content or the new one, and the new one if
// WriteFileAtomic returned nil. If it fails, the content is the old one, or the
// new one without being durable if the last step failed. It goes through a file
// of the same name with ".tmp" added, replacing one that a crash left. Calls for
// the same name must not overlap. It does not keep data.
func WriteFileAtomic(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	if err := writeTemp(fsys, temp, data); err != nil {
		return fmt.Errorf("write file %q: %w", name, errors.Join(err, removeIfThere(fsys, temp)))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return fmt.Errorf("write file %q: %w", name, errors.Join(err, removeIfThere(fsys, temp)))
	}
	if err := fsys.SyncDir(path.Dir(name)); err != nil {
		return fmt.Errorf("write file %q: %w", name, err)
	}
	return nil
}

func writeTemp(fsys FS, temp string, data []byte) error {
	if err := removeIfThere(fsys, temp); err != nil {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	return nil
}
