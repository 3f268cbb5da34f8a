package lint

import "testing"

func TestLeaksRule(t *testing.T) {
	const main = "\nfunc TestMain(m *testing.M) { "
	got := Leaks(tree(map[string]string{
		"broker/good/a.go":           "package good",
		"broker/good/a_test.go":      "package good",
		"broker/good/leak_test.go":   "package good" + main + "leak.Main(m) }",
		"broker/outer/a_test.go":     "package outer_test" + main + "leak.Main(m, leak.Teardown(f)) }",
		"broker/plain/a.go":          "package plain\n",
		"internal/leak/a_test.go":    "package leak" + main + "Main(m) }",
		"broker/none/a_test.go":      "package none",
		"broker/other/a_test.go":     "package other" + main + "os.Exit(m.Run()) }",
		"broker/own/a_test.go":       "package own" + main + "Main(m) }",
		"broker/exempt/a_test.go":    "package exempt",
		"broker/stale/a_test.go":     "package stale" + main + "leak.Main(m) }",
		"broker/silent/a_test.go":    "package silent",
		"tests/module/go.mod":        "module m",
		"tests/module/sub/b_test.go": "package sub",
	}), map[string]string{
		"broker/exempt": "cannot", "broker/stale": "cannot", "broker/gone": "cannot", "broker/silent": " ",
	})
	expect(t, got, "broker/none: has tests", "broker/other: has tests", "broker/own: has tests",
		"broker/stale: is exempt and calls", "broker/gone: is exempt and has no tests", "broker/silent: is exempt without")
}
