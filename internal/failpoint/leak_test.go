//go:build !failpoints

package failpoint

import (
	"testing"

	"github.com/varvelog/varve/internal/leak"
)

// With the tag a goroutine reads the control file until the process ends.
func TestMain(m *testing.M) { leak.Main(m) }
