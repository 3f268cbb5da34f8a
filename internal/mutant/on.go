//go:build mutants

package mutant

import (
	"os"
	"time"
)

// Enabled tells whether this build can plant bugs.
const Enabled = true

// planted is at first what the environment says, for tests of single packages.
var planted = Name(os.Getenv("VARVE_MUTANT"))

// On reports whether the bug is planted.
func On(n Name) bool { return planted == n }

// Now is the clock that a planted bug reads, in ns.
func Now() int64 { return time.Now().UnixNano() }

// Plant switches one bug on, and any other off. The empty name plants none.
func Plant(n Name) { planted = n }
