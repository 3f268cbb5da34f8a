//go:build !linux

package objstore

import "os"

// syncData makes a file's content and length durable; on macOS it asks the drive
// to empty its cache, which fsync alone does not there.
func syncData(f *os.File) error { return f.Sync() }
