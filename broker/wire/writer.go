package wire

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// outBytes is the buffer in which replies are put together on connections that
// have no writev (TLS): the size of a TLS record.
const outBytes = 16 << 10

// takePart is the part of PressedMax that a client has at least that takes
// answers: it may be at work.
const takePart = 4

// outKeptMax is the number of slices that a connection keeps for its next
// writev.
const outKeptMax = 256

// write is the writer goroutine: it writes replies in order until nothing is to
// be written any more.
func (c *Conn) write() {
	defer c.s.wg.Done()
	var batch []*Request
	for {
		var last, ok bool
		batch, last, ok = c.take(batch[:0])
		if !ok {
			return
		}
		err := c.writeBatch(batch)
		c.written(batch)
		if err != nil {
			c.close(fmt.Errorf("write replies: %w", err))
			return
		}
		if last {
			c.linger()
			return
		}
	}
}

// writeBatch writes the replies of a batch at once.
func (c *Conn) writeBatch(batch []*Request) error {
	bytes := int64(0)
	for _, r := range batch {
		if r.headLen > 0 {
			bytes += r.bytes
		}
	}
	if bytes == 0 {
		return nil
	}
	var err error
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		err = c.writev(tcp, batch, bytes)
	} else if err = c.nc.SetWriteDeadline(time.Now().Add(c.s.set.transfer(c.s.set.WriteMax, bytes))); err == nil {
		err = c.writeThrough(batch)
	}
	if err == nil {
		c.s.counters.written.Add(uint64(bytes))
	}
	c.lastActive.Store(time.Now().UnixNano())
	return err
}

// writev hands all parts to the kernel in one call, if they are no more than it
// takes. While others wait for the memory of answers, the client has less time
// (Settings.PressedMax).
func (c *Conn) writev(tcp *net.TCPConn, batch []*Request, bytes int64) error {
	c.out = c.outKept[:0]
	for _, r := range batch {
		if r.headLen > 0 {
			c.out = append(c.out, r.head[:r.headLen])
			c.out = append(c.out, r.parts...)
		}
	}
	c.outKept = c.out
	err := c.writeAll(tcp, bytes, c.s.set.transfer(c.s.set.WriteMax, bytes))
	clear(c.outKept)
	c.out = nil
	if cap(c.outKept) > outKeptMax {
		c.outKept = nil
	}
	return err
}

func (c *Conn) writeAll(tcp *net.TCPConn, bytes int64, most time.Duration) error {
	total := c.s.AnswerBudget()
	began, written := time.Now(), int64(0)
	for {
		since := time.Since(began)
		waiters := c.s.waitingForAnswers()
		if since >= most || waiters > 0 && since > c.s.set.pressed(waiters, bytes, total, written, takePart) {
			return ErrSlow
		}
		if err := tcp.SetWriteDeadline(began.Add(min(since+c.s.set.PressedMax/takePart, most))); err != nil {
			return err
		}
		n, err := c.out.WriteTo(tcp)
		if written += n; !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// waitingForAnswers returns how many wait for the memory of answers, those
// included whose turn it is then.
func (s *Server) waitingForAnswers() int {
	n := s.replies.waiters()
	if n > 0 {
		n += s.turns.waiters()
	}
	return n + s.reserved.waiters()
}

// writeThrough puts small parts together and passes large ones on.
func (c *Conn) writeThrough(batch []*Request) error {
	if c.plain == nil {
		c.plain = bufio.NewWriterSize(c.nc, outBytes)
	}
	for _, r := range batch {
		if r.headLen == 0 {
			continue
		}
		if _, err := c.plain.Write(r.head[:r.headLen]); err != nil {
			return err
		}
		for _, p := range r.parts {
			if _, err := c.plain.Write(p); err != nil {
				return err
			}
		}
	}
	return c.plain.Flush()
}

// linger tells the client that no more replies come and leaves the rest to the
// reader, which closes when the client has, or after a while.
func (c *Conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		c.close(nil)
		return
	}
	now := time.Now()
	_ = c.nc.SetWriteDeadline(now.Add(c.s.set.LingerMax))
	if err := half.CloseWrite(); err != nil {
		c.close(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingering = true
	_ = c.nc.SetReadDeadline(now.Add(c.s.set.LingerMax))
}
