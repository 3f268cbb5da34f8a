//go:build invariants

package invariant

// Enabled reports whether costly checks are compiled in.
const Enabled = true
