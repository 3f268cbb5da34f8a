package wasm
import ("os";"bytes";"fmt";"testing")
func resetPeakX() error { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200) }
func peakX(t *testing.T) int64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(b, []byte("VmHWM:"))
	var kib int64
	fmt.Sscan(string(rest), &kib)
	return kib<<10
}
