package meter

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

func addSeeds(f *testing.F) {
	for seed := range uint64(6) {
		f.Add(generate(seed, seed%2 == 0))
	}
	f.Add(byteLoop())
	f.Add(preamble)
	m := limitModule()
	g := m.function("run", "il", "il", []byte{typeV128}, code().get(0).get(1))
	m.start = new(uint32)
	*m.start = m.function("", "", "", nil, code().i32(1).i64(2).call(g).op(opDrop, opDrop))
	m.custom = [][]byte{append(appendName(nil, "varve.plugin"), "{}"...)}
	f.Add(m.bytes())
}

func FuzzInspect(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, module []byte) {
		before := bytes.Clone(module)
		info, err := Inspect(module, testOptions())
		out, again, rewriteErr := Rewrite(module, testOptions())
		if !bytes.Equal(before, module) {
			t.Fatal("the input was changed")
		}
		if rewriteErr == nil && (err != nil || info.Instructions != again.Instructions) {
			t.Fatalf("inspect %v, rewrite worked", err)
		}
		if rewriteErr == nil && len(out) > 16*len(module)+4096 {
			t.Fatalf("%d bytes became %d", len(module), len(out))
		}
	})
}

// The rewritten module is valid if and only if the original is. Seeds are long:
// fuzz with -fuzzminimizetime 10x.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, module []byte) {
		out, info, err := Rewrite(module, testOptions())
		if err != nil {
			return
		}
		compile := func(module []byte) error {
			c, err := r.CompileModule(ctx, module)
			if err == nil {
				_ = c.Close(ctx)
			}
			return err
		}
		before, after := compile(module), compile(out)
		if before == nil && after != nil {
			t.Fatalf("no longer valid: %v", after)
		}
		// The runtime also refuses custom sections, which are not copied.
		if before != nil && after == nil && len(info.Custom) == 0 {
			t.Fatalf("no longer invalid: %v", before)
		}
	})
}

// FuzzDifferential runs programs beyond those of the tests, made of the bytes:
// results, traps and memory are those of the original, and the charge is never
// below the instructions executed nor above them by more than regions may skip.
// What it is charged is just enough fuel; with half of that it stops, unless it
// was about to end. It runs in the interpreter, which costs next to nothing to compile for; the tests
// run the compiler.
func FuzzDifferential(f *testing.F) {
	for seed := range byte(4) {
		f.Add([]byte{seed, 40 * seed, 90, 200 - seed, 17, 3}, uint32(seed), ^uint32(0), seed%2 == 0)
	}
	r := runtimeOf(f, wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, decisions []byte, a, b uint32, bulk bool) {
		if len(decisions) > 1<<10 {
			return
		}
		module := generateFrom(&script{bytes: decisions}, bulk)
		charged, _, trap := same(t, r, module, testOptions(), "run", uint64(a), uint64(b))
		out, _ := rewrite(t, module, testOptions())
		if got := callMetered(instantiate(t, r, out), charged, "run", uint64(a), uint64(b)); got.charged != charged || trapText(got.err) != trap {
			t.Fatalf("%v, charged %d with exactly enough; %q, %d with more", got.err, got.charged, trap, charged)
		}
		// It is stopped at the next check, of which there may be none any more.
		got := callMetered(instantiate(t, r, out), charged/2, "run", uint64(a), uint64(b))
		stopped := got.why == WhyFuel && got.charged == charged/2
		if ended := got.charged == charged && trapText(got.err) == trap && charged-charged/2 <= (genFuncs+1)*CheckRun; !stopped && !ended {
			t.Fatalf("%v, why %d, charged %d with %d, half of what it takes", got.err, got.why, got.charged, charged/2)
		}
	})
}
