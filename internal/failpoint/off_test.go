//go:build !failpoints

package failpoint

import (
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// Without the tag nothing is wrapped (F1), whatever the environment says.
func TestReleasedBinaryHasNoFailpoints(t *testing.T) {
	t.Setenv("VARVE_FAILPOINT", string(CommitDone)+":1")
	mem := vfs.NewMem(vfs.MemOptions{})
	if fs := FS(mem, "."); fs != vfs.FS(mem) || Enabled {
		t.Errorf("the file system is wrapped: %T", fs)
	}
	for _, n := range Code() {
		Hit(n)
	}
}
