package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
	"github.com/varvelog/varve/wasm/meter"
)

// An instance is one running copy of a module, with the handles to call it and
// to set it back. It belongs to one goroutine at a time, but for stop.
type instance struct {
	mod    api.Module
	region *region
	state  *host.State
	ctx    callContext

	alloc api.Function
	hooks [2]api.Function // by abi.Hook; nil if not declared

	fuel, slice, stop, depth, pages, why api.MutableGlobal

	globals []api.MutableGlobal // by meter.Info.MutableGlobals
	frame   uint32              // where frames of up to abi.MaxRunBytes go
	stack   [4]uint64
}

// An image is the state that every call of a pool begins with.
type image struct {
	memory  *snapshot
	window  window
	globals []uint64
	frame   uint32
}

// instantiate makes an instance in which nothing has run yet.
func instantiate(r *Runtime, v *variant, log host.Log) (*instance, error) {
	mem, err := newRegion(int(v.pages) * PageBytes)
	if err != nil {
		return nil, err
	}
	in := &instance{region: mem, state: host.NewState(log)}
	in.ctx = callContext{Context: context.Background(), in: in}
	ctx := experimental.WithMemoryAllocator(context.Background(),
		experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return mem }))
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	if in.mod, err = r.engine.InstantiateModule(ctx, v.code, c); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: instantiate: %w", ErrStart, err), mem.unmap())
	}
	if err := in.bind(&v.info); err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// bind looks up what calls need.
func (in *instance) bind(info *meter.Info) error {
	for _, g := range []struct {
		to   *api.MutableGlobal
		name string
	}{
		{&in.fuel, meter.FuelGlobal}, {&in.slice, meter.SliceGlobal}, {&in.stop, meter.StopGlobal},
		{&in.depth, meter.DepthGlobal}, {&in.pages, meter.PagesGlobal}, {&in.why, meter.WhyGlobal},
	} {
		var ok bool
		if *g.to, ok = in.mod.ExportedGlobal(g.name).(api.MutableGlobal); !ok {
			return fmt.Errorf("global %s is missing: %w", g.name, ErrExport)
		}
	}
	for _, name := range info.MutableGlobals {
		g, ok := in.mod.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return fmt.Errorf("global %s is missing: %w", name, ErrExport)
		}
		in.globals = append(in.globals, g)
	}
	in.alloc = in.mod.ExportedFunction(abi.ExportAlloc)
	for _, h := range abi.Hooks() {
		in.hooks[h] = in.mod.ExportedFunction(h.Export())
	}
	return nil
}

// begin prepares a call with a budget.
func (in *instance) begin(c *abi.Context, fuel int64) {
	in.state.Begin(c)
	in.fuel.Set(uint64(max(fuel, 0)))
	in.slice.Set(0)
	in.depth.Set(0)
	in.why.Set(0)
}

// left returns the fuel that remains.
func (in *instance) left() int64 { return int64(in.fuel.Get()) + int64(in.slice.Get()) }

// call calls f with up to two arguments and returns its result. The error is the
// guest's trap or exit.
func (in *instance) call(f api.Function, a, b uint64) (uint64, error) {
	in.stack = [4]uint64{a, b}
	err := f.CallWithStack(&in.ctx, in.stack[:])
	return in.stack[0], err
}

// boot runs what a new instance runs, within fuel.
func (in *instance) boot(v *variant, plugin string, parameters []byte, fuel int64) (err error) {
	in.begin(&host.Boot, fuel)
	defer in.state.End()
	if v.info.HasStart {
		if err := in.bootCall("start function", meter.StartFunc); err != nil {
			return err
		}
	}
	if err := in.bootCall("initialize", abi.ExportInitialize); err != nil {
		return err
	}
	if err := in.configure(plugin, parameters); err != nil {
		return err
	}
	if in.frame, err = in.buffer(abi.MaxRunBytes); err != nil {
		return in.bootError("allocate the frame", err)
	}
	return nil
}

// bootCall calls a function without arguments, if it is there.
func (in *instance) bootCall(step, name string) error {
	f := in.mod.ExportedFunction(name)
	if f == nil {
		return nil
	}
	if _, err := in.call(f, 0, 0); err != nil {
		return in.bootError(step, err)
	}
	return nil
}

func (in *instance) bootError(step string, err error) error {
	t := in.trap(err)
	return fmt.Errorf("%w: %s: %s: %s", ErrStart, step, t.Why, t.Text)
}

func (in *instance) configure(plugin string, parameters []byte) error {
	f := in.mod.ExportedFunction(abi.ExportConfigure)
	if f == nil {
		return nil
	}
	ptr, err := in.buffer(len(parameters))
	if err != nil {
		return in.bootError("allocate the parameters", err)
	}
	copy(in.region.mem[ptr:], parameters)
	code, err := in.call(f, uint64(ptr), uint64(len(parameters)))
	if err != nil {
		return in.bootError("configure", err)
	}
	if code := int32(code); code != 0 {
		return &ConfigureError{Plugin: plugin, Code: code}
	}
	return nil
}

// errNoBuffer says that varve_alloc refused or gave an address that is not in
// the memory or not aligned.
var errNoBuffer = errors.New("no usable buffer from " + abi.ExportAlloc)

// buffer asks the guest for n bytes.
func (in *instance) buffer(n int) (uint32, error) {
	if n > len(in.region.mem) {
		return 0, errNoBuffer
	}
	res, err := in.call(in.alloc, uint64(uint32(n)), 0)
	if err != nil {
		return 0, err
	}
	ptr := uint32(res)
	if ptr == 0 || ptr%8 != 0 || uint64(ptr)+uint64(n) > uint64(len(in.region.mem)) {
		return 0, errNoBuffer
	}
	return ptr, nil
}

// snapshot takes the image of an instance that has booted.
func (in *instance) snapshot() (*image, error) {
	mem, err := newSnapshot(in.region.mem)
	if err != nil {
		return nil, err
	}
	im := &image{memory: mem, globals: make([]uint64, len(in.globals)), frame: in.frame}
	im.window = window{at: int(in.frame), size: abi.MaxRunBytes}
	if w, _ := in.view(in.frame, abi.MaxRunBytes); !isZero(w) {
		im.window.image = bytes.Clone(w)
	}
	for i, g := range in.globals {
		im.globals[i] = g.Get()
	}
	if err := in.attach(im); err != nil {
		return nil, errors.Join(err, mem.close())
	}
	return im, nil
}

// attach makes the instance a copy of the image, whatever it was.
func (in *instance) attach(im *image) error {
	if err := in.region.attach(im.memory); err != nil {
		return err
	}
	in.frame = im.frame
	in.restoreGlobals(im)
	return nil
}

// reset sets the instance back to the image it is attached to, after a call with
// a frame of n bytes.
func (in *instance) reset(im *image, n int) error {
	if err := in.region.reset(im.window, n); err != nil {
		return err
	}
	in.restoreGlobals(im)
	return nil
}

func (in *instance) restoreGlobals(im *image) {
	for i, g := range in.globals {
		g.Set(im.globals[i])
	}
}

// close gives the instance back. It must not be running.
func (in *instance) close() error {
	return errors.Join(in.mod.Close(context.Background()), in.region.unmap())
}

// trap describes err, with which a call of the guest ended.
func (in *instance) trap(err error) *Trap {
	t := &Trap{Text: trapText(err)}
	var exit *host.ExitError
	switch in.why.Get() {
	case meter.WhyFuel:
		t.Why, t.Text = WhyFuel, "out of fuel"
		return t
	case meter.WhyStop:
		t.Why, t.Text = WhyStopped, "stopped"
		return t
	case meter.WhyDepth:
		t.Why, t.Text = WhyDepth, "calls nested too deep"
		return t
	}
	switch {
	case errors.Is(err, errNoBuffer):
		t.Why = WhyTooLarge
	case errors.As(err, &exit):
		t.Why = WhyExit
	}
	if t.Why != WhyTooLarge && in.pages.Get()*PageBytes >= uint64(len(in.region.mem)) {
		t.Why = WhyMemory
	}
	return t
}
