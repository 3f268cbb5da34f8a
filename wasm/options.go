package wasm

import (
	"errors"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
)

// PageBytes is the size of a page of guest memory.
const PageBytes = 64 << 10

// Options are the bounds of a Runtime. A zero field takes its default.
type Options struct {
	// CacheDir is where compiled code is kept between runs of the broker. It
	// holds machine code: whoever can write to it owns the process. Empty keeps
	// nothing.
	CacheDir string
	// MemoryBytesMax bounds the guest memory of all pools together: images, and
	// the page limit of every running call. 512 MiB by default.
	MemoryBytesMax int64
	// ModuleBytesMax bounds a module. 16 MiB by default.
	ModuleBytesMax int
	// CompileWorkers is how many goroutines compile one module. 1 by default,
	// and best left: a fault of the compiler is contained only if it happens on
	// the caller's goroutine.
	CompileWorkers int
}

func (o Options) complete() Options {
	if o.MemoryBytesMax == 0 {
		o.MemoryBytesMax = 512 << 20
	}
	if o.ModuleBytesMax == 0 {
		o.ModuleBytesMax = 16 << 20
	}
	if o.CompileWorkers == 0 {
		o.CompileWorkers = 1
	}
	return o
}

// Defaults of a PoolConfig.
const (
	DefaultMemoryPages  = 256
	DefaultInstancesMax = 4
	DefaultStartFuel    = 1_000_000_000
	DefaultOutBytesMax  = 16 << 20
)

// PoolConfig is what the instances of a pool have in common. A zero field takes
// its default.
type PoolConfig struct {
	// Parameters is the stage's JSON; empty is the empty object. The pool keeps
	// it and does not change it.
	Parameters []byte
	// MemoryPages is the memory that an instance may grow to.
	MemoryPages uint32
	// InstancesMax bounds the calls that run at the same time.
	InstancesMax int
	// StartFuel is the budget for making an instance: its start function,
	// _initialize, varve_configure and varve_alloc together.
	StartFuel int64
	// OutBytesMax bounds the verdicts of one call. More is WhyTooLarge.
	OutBytesMax int
	// Capabilities are what the operator grants. What the manifest does not ask
	// for is not given.
	Capabilities []abi.Capability
	// Log receives what the plugin logs, if the capability is granted.
	Log host.Log
}

func (c PoolConfig) complete() PoolConfig {
	if len(c.Parameters) == 0 {
		c.Parameters = []byte("{}")
	}
	if c.MemoryPages == 0 {
		c.MemoryPages = DefaultMemoryPages
	}
	if c.InstancesMax <= 0 {
		c.InstancesMax = DefaultInstancesMax
	}
	if c.StartFuel == 0 {
		c.StartFuel = DefaultStartFuel
	}
	if c.OutBytesMax == 0 {
		c.OutBytesMax = DefaultOutBytesMax
	}
	return c
}

// Errors of the package, wrapped with the step and the object.
var (
	// ErrModule says that a module is not acceptable; trying again is no use.
	ErrModule = errors.New("module refused")
	// ErrVersion says that a module is built for another version of the
	// contract. It comes with ErrModule.
	ErrVersion = errors.New("plugin contract version not supported")
	// ErrImport says that a module imports what it may not. It comes with
	// ErrModule.
	ErrImport = errors.New("import not allowed")
	// ErrExport says that an export is missing or of the wrong type. It comes
	// with ErrModule.
	ErrExport = errors.New("export missing or of the wrong type")
	// ErrCapability says that the operator has not granted what the manifest
	// asks for.
	ErrCapability = errors.New("capability not granted")
	// ErrStart says that no instance could be made because of what the module
	// did: it trapped, exited, or gave no buffer.
	ErrStart = errors.New("plugin did not start")
	// ErrMemory says that the runtime's memory bound is reached; it may pass.
	ErrMemory = errors.New("plugin memory bound reached")
	// ErrStopped says that the pool was stopped.
	ErrStopped = errors.New("plugin pool stopped")
	// ErrClosed says that the runtime or the module was closed.
	ErrClosed = errors.New("plugin runtime closed")
	// ErrPlatform says that this platform has no compiler for modules.
	ErrPlatform = errors.New("plugins need amd64 or arm64 with executable mappings")
	// ErrHook says that the plugin does not declare the hook.
	ErrHook = errors.New("hook not declared by the plugin")
)
