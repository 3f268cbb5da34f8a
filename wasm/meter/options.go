package meter

import (
	"errors"
	"fmt"
)

// Names of what the rewriter adds, all exported by the rewritten module. The
// globals are mutable. A module whose imports or exports begin with Prefix is
// refused.
const (
	Prefix = "__varve_"

	// FuelGlobal (i64) and SliceGlobal (i64): the fuel left is the sum of the
	// two. Before a call the host sets FuelGlobal to the budget and SliceGlobal
	// to 0; a host function takes fuel by lowering FuelGlobal, which may become
	// negative. Both are 0 in a new instance, so nothing runs unpaid.
	FuelGlobal  = Prefix + "fuel"
	SliceGlobal = Prefix + "slice"
	// StopGlobal (i32): when not 0 the guest traps at the end of its slice.
	StopGlobal = Prefix + "stop"
	// DepthGlobal (i32): weight of the calls on the stack. The host sets it to
	// 0 after a trap.
	DepthGlobal = Prefix + "depth"
	// PagesGlobal (i32): the memory size that the guest sees, in 64 KiB pages.
	PagesGlobal = Prefix + "pages"
	// WhyGlobal (i32): set before the rewriter's own traps, see WhyFuel. The
	// host sets it to 0 before a call; 0 after a trap means the guest's own.
	WhyGlobal = Prefix + "why"
	// StartFunc is the module's start function, exported instead of run at
	// instantiation. The host calls it first, if Info.HasStart.
	StartFunc = Prefix + "start"
	// GlobalPrefix and an index name the module's own mutable globals.
	GlobalPrefix = Prefix + "g"
)

// Values of WhyGlobal.
const (
	WhyFuel  = 1 // fuel used up; FuelGlobal and SliceGlobal are 0
	WhyStop  = 2 // the host asked for a stop
	WhyDepth = 3 // calls nested too deep
)

// The accuracy of charging, see the package comment.
const (
	// FoldMax bounds the instructions that a region pays for without them
	// being executed.
	FoldMax = 32
	// CheckRun bounds the instructions between two checks.
	CheckRun = 4096
)

// Errors of Inspect and Rewrite; all are wrapped with what and where.
var (
	// ErrMalformed is for bytes that are no valid module.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported is for valid modules that use what is not accepted.
	ErrUnsupported = errors.New("unsupported module")
	// ErrTooLarge is for modules beyond one of the Options.
	ErrTooLarge = errors.New("module beyond a limit")
)

// Options are the bounds of a rewritten module. A bound of 0 stands for that of
// DefaultOptions.
type Options struct {
	// MemoryPagesMax is the physical size of memory 0, in 64 KiB pages, from
	// the start, and the most that the guest can grow to. At most 65,536.
	MemoryPagesMax uint32
	// DepthMax is the greatest weight of nested calls.
	DepthMax int32
	// Slice is the fuel after which the guest passes through Go.
	Slice int64
	// ImportCost is the fuel for calling an imported function.
	ImportCost int64

	ModuleBytesMax   int    // bytes of the input
	OutputBytesMax   int    // bytes of the result
	CodeBytesMax     int    // bytes of the code section
	FunctionBytesMax int    // bytes of one function body
	FunctionsMax     uint32 // defined and imported functions
	TypesMax         uint32 // function types
	ParamsMax        uint32 // parameters, and results, of one type
	LocalsMax        uint32 // locals of one function, with its parameters
	NestingMax       int    // blocks inside each other
	EffortMax        int64  // locals times blocks, over all functions: what compiling time grows with
	StrainMax        int64  // what else compiling time grows with, in about microseconds; see planner.strain
	GlobalsMax       uint32 // globals
	TablesMax        uint32 // tables
	TableElementsMax uint32 // elements of a table, and of all tables at the start
	SegmentsMax      uint32 // element segments, and data segments
	ExportsMax       uint32 // exports
	CustomMax        int    // custom sections
	NameBytesMax     uint32 // bytes of a name
}

// DefaultOptions returns the bounds that the broker uses unless told otherwise.
func DefaultOptions() Options {
	return Options{
		MemoryPagesMax:   256,
		DepthMax:         1024,
		Slice:            65536,
		ImportCost:       100,
		ModuleBytesMax:   16 << 20,
		OutputBytesMax:   64 << 20,
		CodeBytesMax:     16 << 20,
		FunctionBytesMax: 256 << 10, // of which the compiler takes a KiB for a byte
		FunctionsMax:     65536,
		TypesMax:         8192,
		ParamsMax:        256,
		LocalsMax:        8192,
		NestingMax:       16384,
		EffortMax:        2_000_000,
		StrainMax:        20_000_000,
		GlobalsMax:       1024,
		TablesMax:        8,
		TableElementsMax: 65536,
		SegmentsMax:      65536,
		ExportsMax:       8192,
		CustomMax:        256,
		NameBytesMax:     1024,
	}
}

// or returns v, or def if v is 0.
func or[T int | int32 | int64 | uint32](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// complete fills in defaults and refuses what makes no sense.
func (o Options) complete() (Options, error) {
	d := DefaultOptions()
	o.MemoryPagesMax = or(o.MemoryPagesMax, d.MemoryPagesMax)
	o.DepthMax = or(o.DepthMax, d.DepthMax)
	o.Slice = or(o.Slice, d.Slice)
	o.ImportCost = or(o.ImportCost, d.ImportCost)
	o.ModuleBytesMax = or(o.ModuleBytesMax, d.ModuleBytesMax)
	o.OutputBytesMax = or(o.OutputBytesMax, d.OutputBytesMax)
	o.CodeBytesMax = or(o.CodeBytesMax, d.CodeBytesMax)
	o.FunctionBytesMax = or(o.FunctionBytesMax, d.FunctionBytesMax)
	o.FunctionsMax = or(o.FunctionsMax, d.FunctionsMax)
	o.TypesMax = or(o.TypesMax, d.TypesMax)
	o.ParamsMax = or(o.ParamsMax, d.ParamsMax)
	o.LocalsMax = or(o.LocalsMax, d.LocalsMax)
	o.NestingMax = or(o.NestingMax, d.NestingMax)
	o.EffortMax = or(o.EffortMax, d.EffortMax)
	o.StrainMax = or(o.StrainMax, d.StrainMax)
	o.GlobalsMax = or(o.GlobalsMax, d.GlobalsMax)
	o.TablesMax = or(o.TablesMax, d.TablesMax)
	o.TableElementsMax = or(o.TableElementsMax, d.TableElementsMax)
	o.SegmentsMax = or(o.SegmentsMax, d.SegmentsMax)
	o.ExportsMax = or(o.ExportsMax, d.ExportsMax)
	o.CustomMax = or(o.CustomMax, d.CustomMax)
	o.NameBytesMax = or(o.NameBytesMax, d.NameBytesMax)
	switch {
	case o.MemoryPagesMax > 65536:
		return o, fmt.Errorf("memory of %d pages: at most 65536", o.MemoryPagesMax)
	case o.DepthMax < 0 || o.DepthMax > 1<<20:
		return o, fmt.Errorf("depth of %d: 1 to %d", o.DepthMax, 1<<20)
	case o.Slice < 0 || o.Slice > 1<<40:
		return o, fmt.Errorf("slice of %d: 1 to %d", o.Slice, int64(1)<<40)
	case o.ImportCost < 0 || o.ImportCost > CheckRun:
		return o, fmt.Errorf("import cost of %d: 1 to %d", o.ImportCost, CheckRun)
	}
	return o, nil
}
