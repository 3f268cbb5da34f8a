//go:build hostile

package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience bounds what a test waits for something that must happen.
const patience = 60 * time.Second

// raw is a connection that sends whatever it likes.
type raw struct {
	t  testing.TB
	nc net.Conn
	n  int32 // correlation id of the last request
}

// dial connects, from an address of its own if from is not 0: there are only so
// many ports to connect from.
func dial(addr string, from int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	if from > 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(from))}
	}
	return d.Dial("tcp", addr)
}

func (a *attack) dial() *raw {
	a.t.Helper()
	nc, err := dial(a.p.Addr(), 0)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { nc.Close() })
	return &raw{t: a.t, nc: nc}
}

// send writes, and does not mind that the broker has hung up.
func (r *raw) send(b []byte) error {
	_ = r.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := r.nc.Write(b)
	return err
}

// header begins a request: a frame of n bytes in all behind the length.
func header(n int, key, version int16, correlation int32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	return binary.BigEndian.AppendUint32(b, uint32(correlation))
}

// frame is a request with an arbitrary body. Its client id is null.
func frame(key, version int16, correlation int32, flexible bool, body []byte) []byte {
	rest := []byte{0xff, 0xff}
	if flexible {
		rest = append(rest, 0)
	}
	b := header(8+len(rest)+len(body), key, version, correlation)
	return append(append(b, rest...), body...)
}

// request is a well-formed request of the given version.
func request(q kmsg.Request, version int16, correlation int32) []byte {
	q.SetVersion(version)
	return frame(q.Key(), version, correlation, q.IsFlexible(), q.AppendTo(nil))
}

// call sends a well-formed request and reads its answer.
func (r *raw) call(q kmsg.Request, version int16, into kmsg.Response) {
	r.t.Helper()
	r.n++
	if err := r.send(request(q, version, r.n)); err != nil {
		r.t.Fatal(err)
	}
	n, body, err := r.answer(patience)
	if err != nil || n != r.n {
		r.t.Fatalf("answer %d to request %d of key %d: %v", n, r.n, q.Key(), err)
	}
	into.SetVersion(version)
	if into.IsFlexible() && q.Key() != 18 {
		body = body[1:] // no tagged fields in the header
	}
	if err := into.ReadFrom(body); err != nil {
		r.t.Fatalf("answer to key %d: %v", q.Key(), err)
	}
}

// answer reads one answer.
func (r *raw) answer(wait time.Duration) (correlation int32, body []byte, err error) {
	_ = r.nc.SetReadDeadline(time.Now().Add(wait))
	var head [8]byte
	if _, err := io.ReadFull(r.nc, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n < 4 || n > 256<<20 {
		return 0, nil, fmt.Errorf("answer of %d bytes", n)
	}
	body = make([]byte, n-4)
	_, err = io.ReadFull(r.nc, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

// closed reports how a connection ended: it reads until it does. What comes
// before is thrown away.
func (r *raw) closed(wait time.Duration) bool {
	_ = r.nc.SetReadDeadline(time.Now().Add(wait))
	_, err := io.Copy(io.Discard, r.nc)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// answersUntilClosed reads answers, which must come in order from first on, until
// the connection ends or the wait is over, and returns how many came.
func (r *raw) answersUntilClosed(first int32, wait time.Duration) (n int, closed bool) {
	r.t.Helper()
	for {
		id, _, err := r.answer(wait)
		if err != nil {
			return n, !errors.Is(err, os.ErrDeadlineExceeded)
		}
		if id != first+int32(n) {
			r.t.Errorf("answer %d where %d is next", id, first+int32(n))
		}
		n++
	}
}

// smallBuffer makes the connection take almost nothing in advance.
func (r *raw) smallBuffer() {
	if tcp, ok := r.nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
}

// raiseFiles lets this process, and the broker that it starts, open as many files
// as the system allows, and returns how many that is.
func raiseFiles(t testing.TB) int {
	t.Helper()
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	lim.Cur = lim.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	return int(min(lim.Max, 1<<20))
}
