package host

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/wasm/abi"
)

// guest is a memory and a state to call functions with.
type guest struct {
	t     testing.TB
	mem   []byte
	state *State
	lines []string
}

func newGuest(t testing.TB) *guest {
	g := &guest{t: t, mem: make([]byte, 4096)}
	g.state = NewState(func(level int, line string) { g.lines = append(g.lines, fmt.Sprintf("%d %s", level, line)) })
	g.state.Begin(&abi.Context{AppendTime: 1000, Seed: 42})
	return g
}

// wasi calls a WASI function and returns its error number.
func (g *guest) wasi(name string, args ...uint64) errno {
	g.t.Helper()
	stack := append(args, 0)
	if err := Lookup(abi.ImportWASI, name).Run(g.state, g.mem, stack); err != nil {
		g.t.Fatal(err)
	}
	return errno(stack[0])
}

func (g *guest) expect(want errno, name string, args ...uint64) {
	g.t.Helper()
	if got := g.wasi(name, args...); got != want {
		g.t.Errorf("%s%v: error %d, want %d", name, args, got, want)
	}
}

const outside = 4096 - 2

func TestEmptyEnvironment(t *testing.T) {
	g := newGuest(t)
	for _, what := range []string{"args", "environ"} {
		copy(g.mem, bytes.Repeat([]byte{0xff}, 16))
		g.expect(success, what+"_sizes_get", 0, 8)
		if le.Uint32(g.mem) != 0 || le.Uint32(g.mem[8:]) != 0 {
			t.Errorf("%s: %x", what, g.mem[:16])
		}
		g.expect(success, what+"_get", 0, 8)
		g.expect(fault, what+"_sizes_get", outside, 8)
		g.expect(fault, what+"_sizes_get", 8, 1<<32-1)
	}
}

func TestNoFiles(t *testing.T) {
	g := newGuest(t)
	for _, fd := range []uint64{0, 1, 3} {
		g.expect(badf, "fd_close", fd)
		g.expect(badf, "fd_seek", fd, 0, 0, 0)
		g.expect(badf, "fd_read", fd, 0, 0, 0)
		g.expect(badf, "fd_fdstat_get", fd, 0)
		g.expect(badf, "fd_fdstat_set_flags", fd, 0)
		g.expect(badf, "fd_prestat_get", fd, 0)
		g.expect(badf, "fd_prestat_dir_name", fd, 0, 0)
	}
	g.expect(badf, "fd_write", 0, 0, 0, 0)
	g.expect(badf, "fd_write", 3, 0, 0, 0)
	g.expect(success, "sched_yield")
}

func TestExit(t *testing.T) {
	err := Lookup(abi.ImportWASI, "proc_exit").Run(nil, nil, []uint64{3})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Fatal(err)
	}
}

func TestClock(t *testing.T) {
	g := newGuest(t)
	now := func() uint64 {
		g.expect(success, "clock_time_get", 0, 1, 8)
		return le.Uint64(g.mem[8:])
	}
	if now() != 1_000_000_000 || now() != 1_000_000_000 {
		t.Fatalf("clock shows %d", now())
	}
	g.expect(success, "clock_res_get", 1, 16)
	g.expect(inval, "clock_time_get", 4, 1, 8)
	g.expect(fault, "clock_time_get", 0, 1, outside)
	g.expect(fault, "clock_res_get", 0, outside)

	subscribe := func(at int, userdata uint64, kind byte, timeout uint64, flags uint16) {
		clear(g.mem[at:][:subscriptionBytes])
		le.PutUint64(g.mem[at:], userdata)
		g.mem[at+8] = kind
		le.PutUint64(g.mem[at+24:], timeout)
		le.PutUint16(g.mem[at+40:], flags)
	}
	subscribe(512, 7, 0, 500, 0)
	subscribe(560, 8, 0, 200, 0)
	subscribe(608, 9, 0, 1_000_000_200, absoluteTime)
	g.expect(success, "poll_oneoff", 512, 1024, 3, 0)
	if now() != 1_000_000_200 || le.Uint32(g.mem) != 2 || le.Uint64(g.mem[1024:]) != 8 || le.Uint64(g.mem[1056:]) != 9 {
		t.Fatalf("clock %d, %d events", now(), le.Uint32(g.mem))
	}
	subscribe(560, 8, 1, 0, 0) // a file is answered at once, and no time passes
	g.expect(success, "poll_oneoff", 512, 512, 2, 0)
	if now() != 1_000_000_200 || le.Uint32(g.mem) != 1 || le.Uint64(g.mem[512:]) != 8 || g.mem[520] != byte(badf) || g.mem[522] != 1 {
		t.Fatalf("clock %d, event %x", now(), g.mem[512:544])
	}
	subscribe(512, 7, 0, 1<<64-1, 0)
	g.expect(success, "poll_oneoff", 512, 1024, 1, 0)
	if now() != 1<<63-1 {
		t.Fatalf("clock %d after the longest wait", now())
	}
	g.expect(inval, "poll_oneoff", 0, 0, 0, 0)
	g.expect(inval, "poll_oneoff", 0, 0, maxVectors+1, 0)
	g.expect(fault, "poll_oneoff", 4090, 0, 1, 0)
	g.expect(fault, "poll_oneoff", 0, 4090, 1, 0)
	g.expect(fault, "poll_oneoff", 0, 0, 1, outside)
}

func TestRandom(t *testing.T) {
	g := newGuest(t)
	g.expect(success, "random_get", 0, 20)
	// The first numbers of SplitMix64 for the seed 42.
	if a, b := le.Uint64(g.mem), le.Uint64(g.mem[8:]); a != 0xbdd732262feb6e95 || b != 0x28efe333b266f103 {
		t.Errorf("%#x, %#x", a, b)
	}
	first := bytes.Clone(g.mem[:20])
	g.state.Begin(&abi.Context{Seed: 42})
	g.expect(success, "random_get", 0, 20)
	if !bytes.Equal(g.mem[:20], first) {
		t.Error("the same seed gave other bytes")
	}
	g.state.TakeCharge()
	g.expect(success, "random_get", 0, 4096)
	if n := g.state.TakeCharge(); n != 512 || g.state.TakeCharge() != 0 {
		t.Errorf("charge %d", n)
	}
	g.expect(fault, "random_get", 4090, 7)
	g.expect(fault, "random_get", 8, 1<<32-1)
}

// write writes to standard error through two vectors.
func (g *guest) write(s string) {
	g.t.Helper()
	half := len(s) / 2
	copy(g.mem[1024:], s)
	for i, v := range []uint32{1024, uint32(half), uint32(1024 + half), uint32(len(s) - half)} {
		le.PutUint32(g.mem[64+4*i:], v)
	}
	g.expect(success, "fd_write", 2, 64, 2, 0)
	if n := le.Uint32(g.mem); int(n) != len(s) {
		g.t.Errorf("%d bytes of %d written", n, len(s))
	}
}

func TestWrite(t *testing.T) {
	g := newGuest(t)
	g.write("panic: ")
	g.write("told to\n\nand ")
	g.write("more\xff")
	if n := g.state.End(); n != 0 || !slices.Equal(g.lines, []string{"1 panic: told to", "1 and more\uFFFD"}) {
		t.Fatalf("%q, %d dropped", g.lines, n)
	}
	g.state.Begin(&abi.Context{})
	g.lines = nil
	g.write(strings.Repeat("x", 1000))
	g.write(strings.Repeat("y", 1000) + "\n")
	if len(g.lines) != 1 || len(g.lines[0]) != 2+abi.MaxLogLineBytes {
		t.Fatalf("%q", g.lines)
	}
	g.write(strings.Repeat("z\n", 100))
	if n := g.state.End(); len(g.lines) != abi.MaxLogLines || n != 101-abi.MaxLogLines {
		t.Fatalf("%d lines, %d dropped", len(g.lines), n)
	}
	g.state.Begin(&abi.Context{})
	g.write("left over")
	g.state.Begin(&abi.Context{})
	g.lines = nil
	if g.state.End(); len(g.lines) != 0 {
		t.Fatalf("%q is of the call before", g.lines)
	}
	g.expect(fault, "fd_write", 1, 4092, 1, 0)
	g.expect(fault, "fd_write", 1, 64, 1, outside)
	g.expect(inval, "fd_write", 1, 0, maxVectors+1, 0)
	le.PutUint32(g.mem[64:], 4000)
	le.PutUint32(g.mem[68:], 97)
	g.expect(fault, "fd_write", 1, 64, 1, 0)
}

func TestLogLevels(t *testing.T) {
	g := newGuest(t)
	copy(g.mem, "hello")
	run := Lookup(abi.ImportVarve, "log").Run
	for _, level := range []uint64{0, 3, 99, 1<<32 - 1} {
		if err := run(g.state, g.mem, []uint64{level, 0, 5}); err != nil {
			t.Fatal(err)
		}
	}
	_ = run(g.state, g.mem, []uint64{1, outside, 5})
	if !slices.Equal(g.lines, []string{"0 hello", "3 hello", "3 hello", "3 hello"}) {
		t.Fatalf("%q", g.lines)
	}
	silent := NewState(nil)
	silent.Begin(&Boot)
	if err := run(silent, g.mem, []uint64{1, 0, 5}); err != nil || silent.End() != 0 {
		t.Fatal(err)
	}
}

func TestLookup(t *testing.T) {
	for i := range Functions() {
		f := &Functions()[i]
		if Lookup(f.Module, f.Name) != f {
			t.Errorf("%s %s is declared twice", f.Module, f.Name)
		}
	}
	for _, name := range []string{"", "path_open", "fd_writev", "sock_send"} {
		if Lookup(abi.ImportWASI, name) != nil || Lookup("env", "log") != nil {
			t.Errorf("%q is there", name)
		}
	}
}

// FuzzFunctions calls every function with any arguments and memory: no function
// may panic, or write outside of the memory that it is given.
func FuzzFunctions(f *testing.F) {
	f.Add(uint64(2), uint64(64), uint64(2), uint64(0), []byte("\x10\x00\x00\x00\x04\x00\x00\x00"))
	f.Add(uint64(0), uint64(0), uint64(3), uint64(200), make([]byte, 300))
	f.Add(uint64(1<<32-1), uint64(1<<64-1), uint64(1<<32), uint64(7), []byte{})
	f.Fuzz(func(t *testing.T, a, b, c, d uint64, mem []byte) {
		mem = mem[:len(mem):len(mem)]
		s := NewState(func(int, string) {})
		for i := range Functions() {
			s.Begin(&abi.Context{AppendTime: int64(d), Seed: c})
			fn := &Functions()[i]
			err := fn.Run(s, mem, []uint64{a, b, c, d})
			var exit *ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatalf("%s: %v", fn.Name, err)
			}
			s.End()
			if n := s.TakeCharge(); n < 0 || n > int64(len(mem))*maxVectors {
				t.Fatalf("%s charges %d for %d bytes", fn.Name, n, len(mem))
			}
		}
	})
}
