package wasm

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// residentBytes returns the resident memory of the process, or 0 where the
// system does not say.
func residentBytes(t testing.TB) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b, []byte("VmRSS:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); !ok || err != nil {
		t.Fatalf("no resident memory in the status: %v", err)
	}
	return kib << 10
}

// imageMappings counts the mappings of images in the process, or returns 0 where
// the system does not say.
func imageMappings() int {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte("varve-plugin-image"))
}
