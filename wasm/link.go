package wasm

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
)

// linkHost makes the modules that plugins import from.
func linkHost(ctx context.Context, engine wazero.Runtime) error {
	for _, name := range []string{abi.ImportVarve, abi.ImportWASI} {
		b := engine.NewHostModuleBuilder(name)
		for i := range host.Functions() {
			f := &host.Functions()[i]
			if f.Module != name {
				continue
			}
			b.NewFunctionBuilder().
				WithGoModuleFunction(hostFunction{f}, valueTypes(f.Params), valueTypes(f.Results)).
				Export(f.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("link host module %s: %w", name, err)
		}
	}
	return nil
}

func valueTypes(ts []host.ValueType) []api.ValueType {
	vs := make([]api.ValueType, len(ts))
	for i, t := range ts {
		vs[i] = api.ValueType(t)
	}
	return vs
}

// hostFunction binds a host function to wazero.
type hostFunction struct{ f *host.Function }

// Call implements api.GoModuleFunction.
func (h hostFunction) Call(ctx context.Context, _ api.Module, stack []uint64) {
	in := ctx.Value(instanceKey{}).(*instance)
	err := h.f.Run(in.state, in.region.mem, stack)
	if c := in.state.TakeCharge(); c > 0 {
		// The guest notices at its next check, as for its own instructions.
		in.fuel.Set(uint64(int64(in.fuel.Get()) - c))
	}
	if err != nil {
		panic(err) // wazero makes it the error of the guest's call
	}
}

type instanceKey struct{}

// callContext carries the instance to host functions without allocating.
type callContext struct {
	context.Context
	in *instance
}

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if _, ok := key.(instanceKey); ok {
		return c.in
	}
	return nil
}
