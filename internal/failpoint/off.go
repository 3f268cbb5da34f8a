//go:build !failpoints

package failpoint

import "github.com/varvelog/varve/internal/vfs"

// Enabled tells whether this build can die on purpose.
const Enabled = false

// Hit dies if the process is to die here: never, in this build.
func Hit(Name) {}

// FS returns the file system of the data directory root, whose operations are
// places to die: fs itself, in this build.
func FS(fs vfs.FS, _ string) vfs.FS { return fs }
