package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
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

	closing  sync.Once
	closeErr error
	making   sync.WaitGroup // calls of NewPool; added to only under mu, while open

	mu       sync.Mutex
	closed   bool
	variants map[uint32]*variant
	pools    map[*Pool]struct{}
}

// A variant is a module compiled for one memory limit, which the rewriter builds
// into the code.
type variant struct {
	pages uint32 // of memory 0, from the start; at most the limit
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
	info, err := meter.Inspect(m.bin, r.meterOptions(maxPages))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	if m.manifest, err = checkModule(&info); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	v, err := m.variant(ctx, max(DefaultMemoryPages, info.MemoryPagesMin))
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
	bin, info, err := meter.Rewrite(m.bin, m.r.meterOptions(pages))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	code, err := compileCode(ctx, m.r, bin)
	if err != nil {
		return nil, err
	}
	mem := code.ExportedMemories()[abi.ExportMemory]
	return &variant{pages: mem.Min(), info: info, code: code}, nil
}

// maxPages is the most memory that a module can address.
const maxPages = 65536

func (r *Runtime) meterOptions(pages uint32) meter.Options {
	o := meter.DefaultOptions()
	o.MemoryPagesMax = pages
	o.ModuleBytesMax = r.o.ModuleBytesMax
	return o
}

// compileCode runs the compiler. A panic in it is its answer to this module.
func compileCode(ctx context.Context, r *Runtime, bin []byte) (code wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			code, err = nil, fmt.Errorf("%w: the compiler failed: %.256v", ErrModule, p)
		}
	}()
	if r.o.CompileWorkers > 1 {
		ctx = experimental.WithCompilationWorkers(ctx, r.o.CompileWorkers)
	}
	code, err = r.engine.CompileModule(ctx, bin)
	var path *fs.PathError
	switch {
	case err == nil:
		return code, nil
	case errors.As(err, &path), ctx.Err() != nil:
		return nil, fmt.Errorf("compile: %w", err) // of the cache or the caller
	}
	return nil, fmt.Errorf("%w: compile: %w", ErrModule, err)
}

// Close closes the module's pools, waiting for running calls to end, and gives
// the compiled code back. Calling it again waits and returns the same.
func (m *Module) Close() error {
	m.closing.Do(func() { m.closeErr = m.close() })
	return m.closeErr
}

func (m *Module) close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.making.Wait()
	m.mu.Lock()
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
