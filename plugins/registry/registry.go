package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/pipeline"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// Errors of the registry.
var (
	// ErrUnknown: no module of that digest is kept.
	ErrUnknown = errors.New("registry: unknown module")
	// ErrHook: the plugin does not have the hook that a stage asks for.
	ErrHook = errors.New("registry: hook not in the plugin")
	// ErrDigest: the bytes that were kept do not have their digest any more.
	ErrDigest = errors.New("registry: module is damaged")
)

// Digest is the SHA-256 of a module.
type Digest = [sha256.Size]byte

// Blobs keeps modules.
type Blobs interface {
	// Get returns a module, or ErrUnknown. It may block.
	Get(ctx context.Context, d Digest) ([]byte, error)
}

// Registry is the modules and pools of one broker.
type Registry struct {
	runtime *wasm.Runtime
	blobs   Blobs

	mu      sync.Mutex
	modules map[Digest]*promise[*wasm.Module]
	pools   map[PoolKey]*promise[*wasm.Pool]
}

// PoolKey says what the instances of a pool have in common.
type PoolKey struct {
	Module      Digest
	Parameters  string
	MemoryPages uint32
}

// New returns an empty registry. It does not close the runtime.
func New(r *wasm.Runtime, b Blobs) *Registry {
	return &Registry{runtime: r, blobs: b, modules: map[Digest]*promise[*wasm.Module]{}, pools: map[PoolKey]*promise[*wasm.Pool]{}}
}

// Check compiles a module that is being uploaded, and says what it is. It is
// kept for when it is used. The error says what is wrong with it.
func (r *Registry) Check(ctx context.Context, bin []byte) (abi.Manifest, Digest, error) {
	d := sha256.Sum256(bin)
	m, err := r.module(d, func() (*wasm.Module, error) { return r.runtime.Compile(ctx, bin) })
	if err != nil {
		return abi.Manifest{}, d, err
	}
	return m.Manifest(), d, nil
}

// Stage makes a stage ready to run: it loads and compiles the module and makes
// the first instance, which checks the parameters.
func (r *Registry) Stage(ctx context.Context, name string, spec plugins.StageSpec, module Digest) (pipeline.Stage, PoolKey, error) {
	key := PoolKey{Module: module, Parameters: string(spec.Parameters), MemoryPages: uint32((spec.MemoryBytes + wasm.PageBytes - 1) / wasm.PageBytes)}
	m, err := r.module(module, func() (*wasm.Module, error) { return r.load(ctx, module) })
	if err != nil {
		return pipeline.Stage{}, key, fmt.Errorf("stage %s: plugin %s: %w", name, spec.Plugin, err)
	}
	manifest := m.Manifest()
	if !manifest.HasHook(spec.Hook) {
		return pipeline.Stage{}, key, fmt.Errorf("stage %s: plugin %s has the hooks %v, not %v: %w", name, spec.Plugin, manifest.Hooks, spec.Hook, ErrHook)
	}
	p, err := r.pool(key, func() (*wasm.Pool, error) {
		return m.NewPool(wasm.PoolConfig{Parameters: spec.Parameters, MemoryPages: key.MemoryPages, Capabilities: manifest.Capabilities})
	})
	if err != nil {
		return pipeline.Stage{}, key, fmt.Errorf("stage %s: plugin %s: %w", name, spec.Plugin, err)
	}
	return pipeline.Stage{
		Name: name, Hook: spec.Hook, Guest: p, Parts: manifest.Parts, Tombstones: manifest.Tombstones, Spec: spec,
	}, key, nil
}

// load fetches a module and compiles it.
func (r *Registry) load(ctx context.Context, d Digest) (*wasm.Module, error) {
	bin, err := r.blobs.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(bin) != d {
		return nil, fmt.Errorf("%w: %x", ErrDigest, d)
	}
	return r.runtime.Compile(ctx, bin)
}

// Prune closes the pools that are not in use.
func (r *Registry) Prune(inUse map[PoolKey]bool) error {
	var errs []error
	r.mu.Lock()
	var gone []*promise[*wasm.Pool]
	for key, p := range r.pools {
		if !inUse[key] && p.settled() {
			gone = append(gone, p)
			delete(r.pools, key)
		}
	}
	r.mu.Unlock()
	for _, p := range gone {
		if p.err == nil {
			errs = append(errs, p.value.Close())
		}
	}
	return errors.Join(errs...)
}

func (r *Registry) module(d Digest, make func() (*wasm.Module, error)) (*wasm.Module, error) {
	return once(&r.mu, r.modules, d, make)
}

func (r *Registry) pool(k PoolKey, make func() (*wasm.Pool, error)) (*wasm.Pool, error) {
	return once(&r.mu, r.pools, k, make)
}

// promise is a value that one goroutine makes and others wait for.
type promise[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func (p *promise[V]) settled() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// once makes the value of a key, or waits until another goroutine has. A failure
// is told to all who waited, and forgotten, so that the next one tries again.
func once[K comparable, V any](mu *sync.Mutex, m map[K]*promise[V], k K, make func() (V, error)) (V, error) {
	mu.Lock()
	p, ok := m[k]
	if ok {
		mu.Unlock()
		<-p.done
		return p.value, p.err
	}
	p = &promise[V]{done: newChan()}
	m[k] = p
	mu.Unlock()
	p.value, p.err = make()
	if p.err != nil {
		mu.Lock()
		delete(m, k)
		mu.Unlock()
	}
	close(p.done)
	return p.value, p.err
}

func newChan() chan struct{} { return make(chan struct{}) }
