package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/meter"
)

// A Module is a checked module and the code compiled from it.
type Module struct {
	r        *Runtime
	bin      []byte
	digest   [sha256.Size]byte
	manifest abi.Manifest

	mu       sync.Mutex
	closed   bool
	variants map[uint32]*variant
	pools    map[*Pool]struct{}
}

// A variant is a module compiled for one memory limit, which the rewriter builds
// into the code.
type variant struct {
	pages uint32
	info  meter.Info
	code  wazero.CompiledModule
}

// Compile checks bin, meters it and compiles it for DefaultMemoryPages, or for
// as much more as the module's memory begins with. Errors wrap ErrModule if bin
// is at fault. It copies bin; it may take seconds, during which no other module
// is compiled, and ctx ends the waiting for that. The caller closes the module.
func (r *Runtime) Compile(ctx context.Context, bin []byte) (*Module, error) {
	if len(bin) > r.o.ModuleBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(bin), r.o.ModuleBytesMax, ErrModule)
	}
	m := &Module{
		r: r, bin: bytes.Clone(bin), digest: sha256.Sum256(bin),
		variants: map[uint32]*variant{}, pools: map[*Pool]struct{}{},
	}
	v, err := m.variant(ctx, DefaultMemoryPages)
	if err != nil {
		return nil, err
	}
	if err := r.add(m); err != nil {
		return nil, errors.Join(err, v.code.Close(ctx))
	}
	return m, nil
}

// Manifest returns what the module says about itself. Its slices are shared: do
// not change them.
func (m *Module) Manifest() abi.Manifest { return m.manifest }

// Digest returns the SHA-256 of the module as it was uploaded.
func (m *Module) Digest() [32]byte { return m.digest }

// variant returns the module compiled for a limit of pages.
func (m *Module) variant(ctx context.Context, pages uint32) (*variant, error) {
	select {
	case m.r.compile <- struct{}{}:
		defer func() { <-m.r.compile }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to compile: %w", ctx.Err())
	}
	m.mu.Lock()
	v, closed := m.variants[pages], m.closed
	m.mu.Unlock()
	if closed || m.r.isClosed() {
		return nil, ErrClosed
	}
	if v != nil {
		return v, nil
	}
	v, err := m.build(ctx, pages)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.Join(ErrClosed, v.code.Close(ctx))
	}
	m.variants[pages] = v
	return v, nil
}

func (m *Module) build(ctx context.Context, pages uint32) (*variant, error) {
	o := meter.DefaultOptions()
	o.MemoryPagesMax = pages
	o.ModuleBytesMax = m.r.o.ModuleBytesMax
	bin, info, err := meter.Rewrite(m.bin, o)
	if err != nil {
		return nil, fmt.Errorf("%w: meter: %w", ErrModule, err)
	}
	if m.manifest, err = checkModule(&info); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	code, err := compileCode(ctx, m.r, bin)
	if err != nil {
		return nil, fmt.Errorf("%w: compile: %w", ErrModule, err)
	}
	return &variant{pages: pages, info: info, code: code}, nil
}

// compileCode runs the compiler. A panic in it is its answer to this module.
func compileCode(ctx context.Context, r *Runtime, bin []byte) (code wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler failed: %.256v", p)
		}
	}()
	if r.o.CompileWorkers > 1 {
		ctx = experimental.WithCompilationWorkers(ctx, r.o.CompileWorkers)
	}
	return r.engine.CompileModule(ctx, bin)
}

// Close closes the module's pools, waiting for running calls to end, and gives
// the compiled code back. Calling it again does nothing.
func (m *Module) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	pools := make([]*Pool, 0, len(m.pools))
	for p := range m.pools { // order: all are closed
		pools = append(pools, p)
	}
	variants := m.variants
	m.variants = nil
	m.mu.Unlock()

	var errs []error
	for _, p := range pools {
		errs = append(errs, p.Close())
	}
	for _, v := range variants { // order: all are closed
		errs = append(errs, v.code.Close(context.Background()))
	}
	m.r.remove(m)
	return errors.Join(errs...)
}
