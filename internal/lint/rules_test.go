package lint

import (
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/lint/generated"
)

// tree makes a tree of files given by name and content.
func tree(files map[string]string) *Tree {
	t := NewTree()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Add(name, []byte(files[name]))
	}
	return t
}

// expect compares findings with the parts of text that each must contain.
func expect(t *testing.T, got []Finding, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d:", len(got), len(want))
		for _, f := range got {
			t.Logf("  %v", f)
		}
		return
	}
	for i, f := range got {
		if !strings.Contains(f.String(), want[i]) {
			t.Errorf("finding %d is %q, want it to contain %q", i, f, want[i])
		}
	}
}

func importing(paths ...string) string {
	src := "package p\n"
	for _, p := range paths {
		src += "import _ \"" + p + "\"\n"
	}
	return src
}

func TestImportsRule(t *testing.T) {
	const (
		kmsg   = "github.com/twmb/franz-go/pkg/kmsg"
		kerr   = "github.com/twmb/franz-go/pkg/kerr"
		raft   = "go.etcd.io/raft/v3/raftpb"
		wazero = "github.com/tetratelabs/wazero/api"
		blob   = "gocloud.dev/blob"
		aws    = "github.com/aws/aws-sdk-go-v2/service/s3"
		badger = "github.com/dgraph-io/badger/v4"
		otel   = "go.opentelemetry.io/otel/sdk/metric"
		prom   = "github.com/prometheus/client_golang/prometheus"
	)
	tests := []struct {
		file    string
		imports []string
		want    []string
	}{
		{"cmd/varve/main.go", []string{module + "/broker", module + "/internal/ident"}, nil},
		{"broker/broker.go", []string{module + "/tiering", module + "/plugins/pipeline", module + "/wasm"}, nil},
		{"broker/broker.go", []string{module + "/cmd/varve"}, []string{"imports go down only"}},
		{"tiering/tiering.go", []string{module + "/broker/storage"}, []string{"tiering imports broker/storage"}},
		{"tiering/tiering.go", []string{module + "/plugins"}, []string{"imports go down only"}},
		{"tiering/tiering_test.go", []string{module + "/broker"}, []string{"imports go down only"}},
		{"plugins/plugins.go", []string{module + "/wasm", module + "/internal/record"}, nil},
		{"plugins/plugins.go", []string{module + "/broker"}, []string{"imports go down only"}},
		{"wasm/runtime.go", []string{module + "/plugins"}, []string{"imports go down only"}},
		{"internal/record/record.go", []string{module + "/broker"}, []string{"imports go down only"}},
		{"internal/record/record.go", []string{module + "/internal/ident"}, nil},
		{"internal/sim/seeds_test.go", []string{module + "/broker/wal"}, nil},
		{"internal/sim/sim.go", []string{module + "/broker/wal"}, nil},
		{"internal/vfs/sim.go", []string{module + "/broker/wal"}, []string{"imports go down only"}},
		{"tests/crash/crash_test.go", []string{module + "/cmd/varve", kmsg, kerr}, nil},
		{"tools/x.go", []string{module + "/internal/ident"}, []string{"has no layer"}},
		{"x.go", []string{module + "/internal/ident"}, []string{"has no layer"}},

		{"broker/wire/w.go", []string{kmsg}, nil},
		{"broker/coordinator/c.go", []string{kmsg}, nil},
		{"broker/partition/p.go", []string{kmsg}, []string{"kmsg stays in"}},
		{"broker/partition/p_test.go", []string{kmsg, kerr}, nil},
		{"broker/wirefoo/w.go", []string{kmsg}, []string{"kmsg stays in"}},
		{"broker/kafka/errors.go", []string{kerr}, nil},
		{"broker/group/g.go", []string{kerr}, []string{"kerr stays in broker/kafka"}},
		{"benchmarks/load/load.go", []string{kmsg}, nil},
		{"broker/replog/r.go", []string{raft}, nil},
		{"broker/partition/p_test.go", []string{raft}, []string{"etcd raft stays in"}},
		{"wasm/meter/m.go", []string{wazero}, nil},
		{"plugins/p.go", []string{wazero}, []string{"wazero stays in"}},
		{"tiering/objstore/s3.go", []string{blob, aws}, nil},
		{"tiering/offload/o.go", []string{blob, aws}, []string{"gocloud", "gocloud"}},
		{"internal/metric/metrictest/m.go", []string{otel, prom}, nil},
		{"broker/metrics/m.go", []string{otel, prom}, []string{"OpenTelemetry", "OpenTelemetry"}},
		{"tiering/remote/r.go", []string{badger}, nil},
		{"tiering/offload/r.go", []string{badger}, []string{"Badger stays in"}},
	}
	for _, tt := range tests {
		t.Run(tt.file+"/"+strings.Join(tt.imports, ","), func(t *testing.T) {
			expect(t, Imports(tree(map[string]string{tt.file: importing(tt.imports...)})), tt.want...)
		})
	}
}

func TestAttributesRule(t *testing.T) {
	for _, tt := range []struct {
		name, call string
		want       []string
	}{
		{"fine", `l.Warn("text", "topic", t, "error", err)`, nil},
		{"another name", `l.Error("text", "topic", t, "err", err)`, []string{`"err" is called "error"`}},
		{"not snake case", `l.Info("text", "topicId", t)`, []string{"snake case"}},
		{"with a field", `s.c.log.With("clientid", c).Debug("text")`, []string{"client_id"}},
		{"no attributes", `l.Error("err")`, nil},
		{"attributes of their own", `l.Warn("text", a, slog.Any("err", err))`, nil},
		{"passed on", `l.Error("text", append(args, "err", err)...)`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := "package p\nfunc f() { " + tt.call + " }"
			expect(t, Attributes(tree(map[string]string{"broker/p.go": src})), tt.want...)
			expect(t, Attributes(tree(map[string]string{"broker/p_test.go": src})))
		})
	}
}

func TestCoreRule(t *testing.T) {
	tests := []struct {
		name string
		src  string
		want []string
	}{
		{"clean", "import \"time\"\nfunc step(now time.Time, d time.Duration) time.Time { return now.Add(d) }", nil},
		{"go", "func f() { go f() }", []string{"starts no goroutine"}},
		{"select", "func f() { select {} }", []string{"has no select"}},
		{"channel type", "type t struct{ c chan int }", []string{"has no channel"}},
		{"make", "func f() { _ = make(chan int) }", []string{"has no channel"}},
		{"send", "func f(s t) { s.c <- 1 }", []string{"sends on no channel"}},
		{"receive", "func f(s t) { <-s.Done() }", []string{"receives from no channel"}},
		{"clock", "import \"time\"\nvar x = time.Now()", []string{"time.Now: time is an argument"}},
		{"clock as a value", "import \"time\"\nvar now = time.Now", []string{"time.Now"}},
		{"renamed clock", "import tm \"time\"\nvar x = tm.Since(tm.Time{})", []string{"time.Since"}},
		{"timers", "import \"time\"\nvar x *time.Timer = time.NewTimer(1)\nfunc f() { time.Sleep(1); _ = time.After(1) }",
			[]string{"time.Timer", "time.NewTimer", "time.Sleep", "time.After"}},
		{"deadline", "import \"context\"\nvar a, b = context.WithTimeout(nil, 1)", []string{"timers are effects"}},
		{"dot import", "import . \"time\"", []string{"dot import"}},
		{"imports", "import (\n_ \"os\"\n_ \"math/rand\"\n_ \"math/rand/v2\"\n_ \"crypto/rand\"\n)",
			[]string{"import os", "math/rand", "math/rand/v2", "crypto/rand"}},
		{"pool", "import \"sync\"\nvar p sync.Pool\nvar m sync.Mutex", []string{"sync.Pool"}},
		{"exit", "import (\n\"log\"\n\"runtime\"\n)\nfunc f() { log.Fatal(1); log.Fatalf(\"\"); runtime.Goexit() }",
			[]string{"log.Fatal", "log.Fatalf", "runtime.Goexit"}},
		{"same name elsewhere", "func f(time clock) { time.Now() }", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := "package wal\n" + tt.src
			expect(t, Core(tree(map[string]string{"broker/wal/f.go": src})), tt.want...)
			expect(t, Core(tree(map[string]string{"broker/wal/f_test.go": src, "broker/wire/f.go": src, "broker/walk/f.go": src})))
		})
	}
}

func TestShellsRule(t *testing.T) {
	const marked = "//varve:shell drives the core with goroutines\n\npackage wal\n\nfunc f() { go f() }\n"
	const file = "broker/wal/shell.go"
	expect(t, Shells(tree(map[string]string{file: marked}), []string{file}))
	expect(t, Shells(tree(map[string]string{file: marked}), nil), "is named in internal/lint/table.go")
	expect(t, Shells(tree(map[string]string{file: "package wal\n"}), []string{file}), "carries no marker")
	expect(t, Shells(tree(map[string]string{file: "package wal\n\n//varve:shell too late\n"}), []string{file}), "carries no marker")
	expect(t, Shells(tree(map[string]string{}), []string{file}), "is gone")
	expect(t, Shells(tree(map[string]string{file: "//varve:shell\npackage wal\n"}), []string{file}), "needs a reason")
	expect(t, Shells(tree(map[string]string{"broker/wire/w.go": marked}), nil), "is in no core")

	both := tree(map[string]string{file: marked, "broker/wal/wal.go": "package wal\n"})
	if got := coreFiles(both, []string{file}); len(got) != 1 || got[0].Path != "broker/wal/wal.go" {
		t.Errorf("with %s as a shell the core files are %v", file, got)
	}
	// The marker alone exempts nothing.
	expect(t, Core(both), "starts no goroutine")
}

func TestMapOrderRule(t *testing.T) {
	root, err := generated.Root()
	if err != nil {
		t.Fatal(err)
	}
	std, err := goList(root, []string{"maps", "slices"})
	if err != nil {
		t.Fatal(err)
	}
	const order, unknown = "the order of a map", "cannot tell"
	tests := []struct {
		name string
		src  string
		want []string
	}{
		{"slice", "func f(s []int) { for range s {} ; for i := range s { _ = i } ; for i := range 9 { _ = i } }", nil},
		{"map", "func f(m map[int]int) { for k := range m { _ = k } }", []string{order}},
		{"values", "func f(m map[int]int) { for _, v := range m { _ = v } }", []string{order}},
		{"count only", "func f(m map[int]int) { for range m { println() } }", nil},
		{"named type", "type set map[string]bool\nfunc f(m set) { for k := range m { _ = k } }", []string{order}},
		{"alias", "type set = map[string]bool\nfunc f(m set) { for k := range m { _ = k } }", []string{order}},
		{"field", "type t struct{ m map[int]int }\nfunc (s *t) f() { for k := range s.m { _ = k } }", []string{order}},
		{"result", "func g() map[int]int { return nil }\nfunc f() { for k := range g() { _ = k } }", []string{order}},
		{"type parameter", "func f[M ~map[int]int](m M) { for k := range m { _ = k } }", []string{order}},
		{"slice parameter", "func f[S ~[]int](s S) { for k := range s { _ = k } }", nil},
		{"excused above", "func f(m map[int]int) {\n\t// order: a sum does not depend on it\n\tfor k := range m { _ = k }\n}", nil},
		{"excused on the line", "func f(m map[int]int) {\n\tfor k := range m { // order: a sum\n\t_ = k }\n}", nil},
		{"long reason", "func f(m map[int]int) {\n\t// order: a sum does\n\t// not depend on it\n\tfor k := range m { _ = k }\n}", nil},
		{"no reason", "func f(m map[int]int) {\n\t// order:\n\tfor k := range m { _ = k }\n}", []string{order}},
		{"too far away", "func f(m map[int]int) {\n\t// order: a sum\n\n\tfor k := range m { _ = k }\n}", []string{order}},
		{"channel", "func f(c chan int) { for v := range c { _ = v } }", []string{"receives from no channel"}},
		{"iterator", "import \"maps\"\nfunc f(m map[int]int) { for k := range maps.Keys(m) { _ = k } }", []string{order}},
		{"sorted iterator", "import (\"maps\";\"slices\")\nfunc f(m map[int]int) { for _, k := range slices.Sorted(maps.Keys(m)) { _ = k } }", nil},
		{"collected iterator", "import (\"maps\";\"slices\")\nfunc f(m map[int]int) []int { return slices.Collect(maps.Values(m)) }", []string{order}},
		{"broken code", "func f() { for k := range gone { _ = k } }", []string{unknown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := tree(map[string]string{"broker/group/f.go": "package group\n" + tt.src})
			info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
			typeCheck(tr.Fset, "group", []*ast.File{tr.Files[0].AST}, exportImporter(tr.Fset, std), info)
			expect(t, MapOrder(tr, info), tt.want...)
		})
	}
	t.Run("file of another build", func(t *testing.T) {
		tr := tree(map[string]string{"broker/group/f.go": "package group\nfunc f(s []int) { for i := range s { _ = i } }"})
		expect(t, MapOrder(tr, &types.Info{}), unknown)
	})
}

func TestSizeRule(t *testing.T) {
	src := func(head string, comment, body int) string {
		return head + "package p\n" + strings.Repeat("//\n", comment) + "func f() {\n" + strings.Repeat("\t_ = 0\n", body) + "}\n"
	}
	const generatedBy = "// Code generated by x. DO NOT EDIT.\n\n"
	tests := []struct {
		file, src string
		want      []string
	}{
		{"wasm/a.go", src("", 0, maxFuncLines-2), nil},
		{"wasm/a.go", src("", 0, maxFuncLines-1), []string{"f has 101 lines"}},
		{"wasm/a_test.go", src("", 0, maxFuncLines-1), nil},
		{"wasm/a.go", src(generatedBy, 0, 700), nil},
		{"wasm/a.go", src("", maxFileLines-3, 0), nil},
		{"wasm/a.go", src("", maxFileLines-2, 0), []string{"601 lines"}},
		{"wasm/a_test.go", src("", maxFileLines-2, 0), []string{"601 lines"}},
	}
	for _, tt := range tests {
		expect(t, Size(tree(map[string]string{tt.file: tt.src})), tt.want...)
	}
}

func TestPackageDocsRule(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"in doc.go", map[string]string{"wasm/doc.go": "// Package wasm runs.\npackage wasm\n", "wasm/a.go": "package wasm\n"}, nil},
		{"none", map[string]string{"wasm/a.go": "package wasm\n"}, []string{"has no package comment"}},
		{"elsewhere", map[string]string{"wasm/a.go": "// Package wasm runs.\npackage wasm\n"}, []string{"move it to doc.go"}},
		{"other words", map[string]string{"wasm/doc.go": "// Runs modules.\npackage wasm\n"}, []string{"starts with"}},
		{"detached", map[string]string{"wasm/doc.go": "// Package wasm runs.\n\npackage wasm\n"}, []string{"has no package comment"}},
		{"main", map[string]string{"cmd/varve/main.go": "// Varve is a broker.\npackage main\n"}, nil},
		{"main without", map[string]string{"cmd/varve/main.go": "package main\n"}, []string{"has no package comment"}},
		{"only tests", map[string]string{"internal/sim/a_test.go": "package sim\n"}, nil},
		{"in a test file", map[string]string{"wasm/a.go": "package wasm\n", "wasm/a_test.go": "// Package wasm runs.\npackage wasm\n"}, []string{"has no package comment"}},
		{"testdata and other roots", map[string]string{"wasm/testdata/a.go": "package x\n", "tests/a.go": "package tests\n"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, PackageDocs(tree(tt.files)), tt.want...) })
	}
}

func TestForeignTextRule(t *testing.T) {
	for _, s := range foreignText {
		expect(t, ForeignText(tree(map[string]string{"deploy/x.yaml": "a\nb: " + s + "z\n"})), "deploy/x.yaml:2: contains")
	}
	slash := foreignText[0]
	expect(t, ForeignText(tree(map[string]string{"a.md": slash})), "a.md:1")
	expect(t, ForeignText(tree(map[string]string{"a.md": "https://example.org" + slash + "x and then " + slash})), "a.md:1")
	expect(t, ForeignText(tree(map[string]string{"a.md": "https://example.org" + slash + "x, net" + slash})))
	expect(t, ForeignText(tree(map[string]string{"a.bin": "\x00" + slash})))
}

func TestLinksRule(t *testing.T) {
	page := strings.Join([]string{
		"[good](docs/README.md) [dir](docs) [dir](docs/) [anchor](docs/README.md#a) [here](#b)",
		"[root](/docs/README.md) [web](https://example.org/x.md) [mail](mailto:a@example.org) ![img](docs/a%20b.png \"title\")",
		"`[code](gone1.md)`",
		"```", "[fenced](gone2.md)", "```",
		"[bad](gone3.md)",
		"[ref]: gone4.md",
		"[above](../outside.md)",
		"[two](docs/README.md), [bad](docs/gone5.md#x)",
		"[escape](docs/%zz)",
	}, "\n")
	files := map[string]string{"README.md": page, "docs/README.md": "[up](../README.md) [same](a%20b.png) [no](gone6.md)", "docs/a b.png": ""}
	expect(t, Links(tree(files)), "README.md:7: link \"gone3.md\"", "README.md:8: link \"gone4.md\"", "README.md:9", "README.md:10: link \"docs/gone5.md#x\"",
		"README.md:11", "docs/README.md:1: link \"gone6.md\" leads to docs/gone6.md")
}

func TestAFileThatDoesNotParseIsAFinding(t *testing.T) {
	tr := tree(map[string]string{"wasm/a.go": "package wasm\nfunc {", "wasm/testdata/b.go": "not Go"})
	expect(t, tr.Bad, "wasm/a.go")
}
