package wire

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// BenchmarkEcho sends frames over one loopback connection with five in flight,
// as an idempotent producer does. Its client is part of the figure.
func BenchmarkEcho(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"100B", 100}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			g := newRig(b, Settings{}, handlerFunc(echo))
			c := g.dial()
			_ = c.nc.SetDeadline(time.Time{})
			f := frame(keyProduce, 7, 1, bytes.Repeat([]byte{1}, bm.size))
			reply := make([]byte, 8+bm.size)
			window := make(chan struct{}, 5)
			go func() {
				for range b.N {
					window <- struct{}{}
					if _, err := c.nc.Write(f); err != nil {
						return
					}
				}
			}()
			b.ReportAllocs()
			b.SetBytes(int64(bm.size))
			b.ResetTimer()
			for range b.N {
				if _, err := io.ReadFull(c.nc, reply); err != nil {
					b.Fatal(err)
				}
				<-window
			}
			b.StopTimer()
		})
	}
}
