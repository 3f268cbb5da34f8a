package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"

	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/builtin"
	"github.com/varvelog/varve/wasm"
)

// blobs keeps modules in a map, and counts how often it is asked.
type blobs struct {
	mu   sync.Mutex
	m    map[Digest][]byte
	gets int
}

func (b *blobs) Get(_ context.Context, d Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	bin, ok := b.m[d]
	if !ok {
		return nil, ErrUnknown
	}
	return bin, nil
}

func open(t *testing.T) (*Registry, *blobs, Digest) {
	t.Helper()
	r, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, m := range builtin.Modules() {
		if m.Name == "redact" {
			d := sha256.Sum256(m.Bytes)
			b := &blobs{m: map[Digest][]byte{d: m.Bytes}}
			return New(r, b), b, d
		}
	}
	t.Fatal("no redact")
	return nil, nil, Digest{}
}

func stage(t *testing.T, text string) plugins.StageSpec {
	t.Helper()
	s, err := plugins.ParseStage([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const redact = `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["a"]}}`

func TestModulesAndPoolsAreSharedAndMadeOnce(t *testing.T) {
	r, b, d := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := r.Stage(t.Context(), "s", stage(t, redact), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b.gets != 1 || len(r.modules) != 1 || len(r.pools) != 1 {
		t.Fatalf("%d reads, %d modules, %d pools", b.gets, len(r.modules), len(r.pools))
	}
	s, key, err := r.Stage(t.Context(), "other", stage(t, `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["b"]}}`), d)
	if err != nil || len(r.pools) != 2 {
		t.Fatal(err, len(r.pools))
	}
	if err := r.Prune(map[PoolKey]bool{key: true}); err != nil || len(r.pools) != 1 {
		t.Fatal(err, len(r.pools))
	}
	if s.Guest == nil || s.Name != "other" {
		t.Fatalf("%+v", s)
	}
}

func TestRefusals(t *testing.T) {
	r, b, d := open(t)
	for name, c := range map[string]struct {
		spec   string
		digest Digest
		want   error
	}{
		"unknown module": {redact, Digest{1}, ErrUnknown},
		"wrong hook":     {`{"plugin": "builtin/redact", "hook": "validate"}`, d, ErrHook},
	} {
		if _, _, err := r.Stage(t.Context(), "s", stage(t, c.spec), c.digest); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var refused *wasm.ConfigureError
	_, _, err := r.Stage(t.Context(), "s", stage(t, `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"nonsense": 1}}`), d)
	if !errors.As(err, &refused) {
		t.Errorf("bad parameters: %v", err)
	}
	if len(r.pools) != 0 {
		t.Errorf("%d pools of refused stages are kept", len(r.pools))
	}
	damaged := Digest{2}
	b.m[damaged] = b.m[d]
	if _, _, err := r.Stage(t.Context(), "s", stage(t, redact), damaged); !errors.Is(err, ErrDigest) {
		t.Errorf("damaged module: %v", err)
	}
	if _, _, err := r.Check(t.Context(), []byte("not a module")); !errors.Is(err, wasm.ErrModule) {
		t.Errorf("garbage: %v", err)
	}
	if _, _, err := r.Stage(t.Context(), "s", stage(t, redact), d); err != nil {
		t.Errorf("after all that: %v", err)
	}
}
