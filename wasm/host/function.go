package host

import (
	"fmt"

	"github.com/varvelog/varve/wasm/abi"
)

// ValueType is a WebAssembly value type in its binary encoding.
type ValueType byte

// The value types that host functions use.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
)

// Function is one function that a plugin may import.
type Function struct {
	Module, Name string
	Params       []ValueType
	Results      []ValueType

	// Capability is what the plugin must have been granted, or empty.
	Capability abi.Capability

	// Run takes its arguments from stack and leaves its result in stack[0].
	// mem is the guest's memory 0, which Run may write to and must not keep. An
	// error ends the guest's call.
	Run func(s *State, mem []byte, stack []uint64) error
}

// ExitError ends a call because the guest called proc_exit.
type ExitError struct{ Code uint32 }

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("plugin exited with code %d", e.Code) }

var functions = []Function{
	{Module: abi.ImportVarve, Name: "log", Params: []ValueType{I32, I32, I32}, Capability: abi.CapabilityLog, Run: log},

	wasi("args_get", emptyGet, I32, I32),
	wasi("args_sizes_get", emptySizes, I32, I32),
	wasi("environ_get", emptyGet, I32, I32),
	wasi("environ_sizes_get", emptySizes, I32, I32),
	wasi("clock_time_get", clockTimeGet, I32, I64, I32),
	wasi("clock_res_get", clockResGet, I32, I32),
	wasi("random_get", randomGet, I32, I32),
	wasi("fd_write", fdWrite, I32, I32, I32, I32),
	wasi("fd_read", badFile, I32, I32, I32, I32),
	wasi("fd_close", badFile, I32),
	wasi("fd_seek", badFile, I32, I64, I32, I32),
	wasi("fd_fdstat_get", badFile, I32, I32),
	wasi("fd_fdstat_set_flags", badFile, I32, I32),
	wasi("fd_prestat_get", badFile, I32, I32),
	wasi("fd_prestat_dir_name", badFile, I32, I32, I32),
	wasi("sched_yield", func(*State, []byte, []uint64) errno { return success }),
	wasi("poll_oneoff", pollOneoff, I32, I32, I32, I32),
	{Module: abi.ImportWASI, Name: "proc_exit", Params: []ValueType{I32}, Run: procExit},
}

// Functions returns all functions, in the order of SPEC.md. The slice is shared:
// do not change it.
func Functions() []Function { return functions }

// Lookup returns the function of that name, or nil if no plugin may import it.
func Lookup(module, name string) *Function {
	for i := range functions {
		if f := &functions[i]; f.Module == module && f.Name == name {
			return f
		}
	}
	return nil
}

// wasi makes a Function from one that answers a WASI error number.
func wasi(name string, run func(*State, []byte, []uint64) errno, params ...ValueType) Function {
	return Function{
		Module: abi.ImportWASI, Name: name, Params: params, Results: []ValueType{I32},
		Run: func(s *State, mem []byte, stack []uint64) error {
			stack[0] = uint64(run(s, mem, stack))
			return nil
		},
	}
}
