//go:build hostile

package hostile

import (
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// many opens n connections at once, from several addresses.
func (a *attack) many(n int) []net.Conn {
	a.t.Helper()
	out := make([]net.Conn, 0, n)
	for i := range n {
		nc, err := dial(a.p.Addr(), 1+i/5000)
		if err != nil {
			a.t.Fatalf("connection %d of %d: %v", i+1, n, err)
		}
		a.t.Cleanup(func() { nc.Close() })
		out = append(out, nc)
	}
	a.conns = max(a.conns, n)
	return out
}

func closeAll(conns []net.Conn) {
	for _, nc := range conns {
		nc.Close()
	}
}

// gone returns how many of the connections the broker has closed.
func gone(conns []net.Conn) (n int) {
	for _, nc := range conns {
		_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
		var b [4096]byte
		for {
			_, err := nc.Read(b[:])
			if err == nil {
				continue
			}
			if e, ok := err.(net.Error); !ok || !e.Timeout() {
				n++
			}
			break
		}
	}
	return n
}

// drip writes b to all connections, a byte of each at a time.
func drip(conns []net.Conn, b []byte, every time.Duration) {
	for i := range b {
		for _, nc := range conns {
			_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = nc.Write(b[i : i+1])
		}
		time.Sleep(every)
	}
}

// slowHeaders drips headers and never finishes them; half of the connections
// send nothing at all.
func slowHeaders(a *attack) {
	conns := a.many(400 * a.scale)
	drip(conns[:len(conns)/2], header(100, 3, 1, 1)[:11], 150*time.Millisecond)
	a.wellFormed()
	a.met = fmt.Sprintf("%d connections hold no memory of requests, %d closed so far", len(conns), gone(conns))
	closeAll(conns)
}

// slowProduceBodies announces the largest produce requests and sends little of
// them.
func slowProduceBodies(a *attack) {
	conns := a.many(100 * a.scale)
	for i, nc := range conns {
		b := header(requestMax, 0, 7, 1)
		if i%2 == 0 {
			b = append(b, make([]byte, 8<<10)...)
		}
		_, _ = nc.Write(b)
	}
	drip(conns, make([]byte, 20), 200*time.Millisecond)
	a.wellFormed()
	a.met = fmt.Sprintf("%d requests of 32 MiB begun, %d closed so far", len(conns), gone(conns))
	closeAll(conns)
}

// slowBodies does so with other requests, which share the memory that heartbeats
// and fetches need.
func slowBodies(a *attack) {
	conns := a.many(100 * a.scale)
	for i, nc := range conns {
		b := header(4<<20, []int16{1, 3, 11, 8}[i%4], 4, 1)
		if i%2 == 0 {
			b = append(b, make([]byte, 8<<10)...)
		}
		_, _ = nc.Write(b)
	}
	drip(conns, make([]byte, 20), 200*time.Millisecond)
	a.wellFormed()
	a.met = fmt.Sprintf("%d requests of 4 MiB begun, %d closed so far", len(conns), gone(conns))
	closeAll(conns)
}

// unread sends b on every connection again and again until the broker takes no
// more, and reads nothing. It returns how much went in.
func unread(conns []net.Conn, b []byte, lasts time.Duration) (bytes int64) {
	end := time.Now().Add(lasts)
	full := make([]bool, len(conns))
	for time.Now().Before(end) {
		took := false
		for i, nc := range conns {
			if full[i] {
				continue
			}
			_ = nc.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
			n, err := nc.Write(b)
			bytes += int64(n)
			full[i] = err != nil // what was cut short stays so
			took = took || err == nil
		}
		if !took {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return bytes
}

// stingy opens connections that take next to nothing in advance.
func (a *attack) stingy(n int) []net.Conn {
	conns := a.many(n)
	for _, nc := range conns {
		(&raw{nc: nc}).smallBuffer()
	}
	return conns
}

// unreadPipelines asks small questions without end and reads no answer.
func unreadPipelines(a *attack) {
	conns := a.stingy(200 * a.scale)
	var b []byte
	for i := range 200 {
		b = append(b, request(apiVersions(), 3, int32(i))...)
	}
	sent := unread(conns, b, 3*time.Second)
	a.wellFormed()
	a.met = fmt.Sprintf("%d connections sent %d MiB and were held up", len(conns), sent>>20)
	closeAll(conns)
}

// unreadMetadata asks for all of a large cluster's metadata, with a few bytes, and
// reads nothing.
func unreadMetadata(a *attack) {
	for i := range 20 {
		a.createTopic(fmt.Sprintf("wide-%d", i), 200)
	}
	a.state = 20 * 200 * 8 << 10
	conns := a.stingy(300 * a.scale)
	var b []byte
	for i := range 60 {
		b = append(b, request(kmsg.NewPtrMetadataRequest(), 9, int32(i))...)
	}
	unread(conns, b, 4*time.Second)
	a.wellFormed()
	a.met = fmt.Sprintf("%d connections with 60 requests each for about 140 KiB were held up", len(conns))
	closeAll(conns)
}
