//go:build mutants

package mutant

// Enabled tells whether this build can plant bugs.
const Enabled = true

var planted Name

// On reports whether the bug is planted.
func On(n Name) bool { return planted == n }

// Plant switches one bug on, and any other off. The empty name plants none.
func Plant(n Name) { planted = n }
