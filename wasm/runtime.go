package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// A Runtime compiles modules and owns everything that is made from them.
type Runtime struct {
	o       Options
	engine  wazero.Runtime
	cache   wazero.CompilationCache
	budget  budget
	compile chan struct{} // holds one token while a module is compiled

	closing  sync.Once
	closeErr error

	mu      sync.Mutex
	closed  bool
	modules map[*Module]struct{}
}

// features is core WebAssembly 2.0: what SPEC.md section 1 lists.
const features = api.CoreFeaturesV2

// NewRuntime makes a runtime. The caller closes it. It fails with ErrPlatform
// where modules cannot be compiled.
func NewRuntime(o Options) (*Runtime, error) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, fmt.Errorf("%s: %w", runtime.GOARCH, ErrPlatform)
	}
	r := &Runtime{
		o:       o.complete(),
		compile: make(chan struct{}, 1),
		modules: map[*Module]struct{}{},
	}
	r.budget.limit = r.o.MemoryBytesMax
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("open plugin runtime: %w", err)
	}
	return r, nil
}

// open makes the engine, which panics where it has no compiler.
func (r *Runtime) open() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: %w", p, ErrPlatform)
		}
	}()
	r.cache = wazero.NewCompilationCache()
	if r.o.CacheDir != "" {
		if r.cache, err = wazero.NewCompilationCacheWithDir(r.o.CacheDir); err != nil {
			return fmt.Errorf("open compilation cache: %w", err)
		}
	}
	ctx := context.Background()
	c := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(features).
		WithCompilationCache(r.cache).
		WithDebugInfoEnabled(false).
		WithMemoryLimitPages(maxPages)
	r.engine = wazero.NewRuntimeWithConfig(ctx, c)
	if err := linkHost(ctx, r.engine); err != nil {
		return errors.Join(err, r.engine.Close(ctx), r.cache.Close(ctx))
	}
	return nil
}

// MemoryUsed returns the bytes that count against Options.MemoryBytesMax.
func (r *Runtime) MemoryUsed() int64 { return r.budget.used.Load() }

// Close stops every pool, waits for running calls to end, and gives everything
// back. Calling it again waits and returns the same.
func (r *Runtime) Close() error {
	r.closing.Do(func() { r.closeErr = r.close() })
	return r.closeErr
}

func (r *Runtime) close() error {
	r.mu.Lock()
	r.closed = true
	modules := make([]*Module, 0, len(r.modules))
	for m := range r.modules { // order: all are closed
		modules = append(modules, m)
	}
	r.mu.Unlock()

	var errs []error
	for _, m := range modules {
		errs = append(errs, m.Close())
	}
	ctx := context.Background()
	r.compile <- struct{}{} // a compilation that still runs ends first
	errs = append(errs, r.engine.Close(ctx), r.cache.Close(ctx))
	<-r.compile
	return errors.Join(errs...)
}

// add makes r own m.
func (r *Runtime) add(m *Module) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.modules[m] = struct{}{}
	return nil
}

func (r *Runtime) remove(m *Module) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.modules, m)
}

func (r *Runtime) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
