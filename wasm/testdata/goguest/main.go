//go:build wasip1

// Command goguest is a plugin that the Go toolchain builds as it is: without an
// SDK, with everything in it that could make two equal calls differ.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
	"unsafe"
)

var (
	le      = binary.LittleEndian
	kept    [][]byte // what varve_alloc gave out
	out     []byte
	calls   int
	started = time.Now()
	prefix  string
)

func main() {}

//go:wasmexport varve_abi_1
func version() {}

//go:wasmexport varve_alloc
func alloc(size uint32) uint32 {
	b := make([]uint64, (size+15)/8)
	p := unsafe.Pointer(unsafe.SliceData(b))
	kept = append(kept, unsafe.Slice((*byte)(p), size))
	return uint32(uintptr(p))
}

func view(ptr, n uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(ptr))), n)
}

//go:wasmexport varve_configure
func configure(ptr, n uint32) uint32 {
	prefix = string(view(ptr, n))
	if prefix == `"no"` {
		return 5
	}
	return 0
}

//go:wasmexport varve_transform
func transform(ptr, n uint32) uint64 {
	frame := view(ptr, n)
	calls++
	out = out[:0]
	at := le.Uint32(frame) + (le.Uint32(frame[44:])+7)&^7
	for i := range le.Uint32(frame[8:]) {
		le.PutUint32(frame[48:], i)
		le.PutUint32(frame[52:], uint32(uintptr(unsafe.Pointer(unsafe.SliceData(out)))))
		le.PutUint32(frame[56:], uint32(len(out)))
		record := frame[at:]
		key, value := int32(le.Uint32(record[16:])), int32(le.Uint32(record[20:]))
		handle(record[32+max(key, 0):][:max(value, 0)])
		at += le.Uint32(record)
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(out))))<<32 | uint64(len(out))
}

// handle appends the verdict for a value.
func handle(value []byte) {
	switch string(value) {
	case "panic":
		panic("told to")
	case "exit":
		os.Exit(3)
	case "log":
		fmt.Fprintln(os.Stderr, "a line of", calls)
	case "sleep":
		time.Sleep(time.Hour)
	case "eat":
		var all [][]byte
		for {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
	}
	order := ""
	for k := range map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true} {
		order += fmt.Sprint(k)
	}
	s := fmt.Sprintf("%s %s %d %s %d %s", prefix, bytes.ToUpper(value), calls, order, rand.Uint64(),
		time.Now().UTC().Format(time.RFC3339Nano))
	out = append(out, 2, 2)
	out = le.AppendUint32(out, uint32(len(s)))
	out = append(out, s...)
}
