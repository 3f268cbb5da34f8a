package wire

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

var (
	errTLS     = errors.New("wire: TLS handshake")
	errHandler = errors.New("wire: handler panicked")
)

// reportEvery is the time between two log lines of one kind.
const reportEvery = time.Second

// The kinds of log lines that a client can cause as often as it likes.
const (
	reportMalformed = iota
	reportSlow
	reportTLS
	reportFailed
	reportTwice
	reportPanic
	reportRefused
	reportAccept
	reportKinds
)

// A report writes at most one line of each kind per reportEvery and counts
// those that it left out. It may be used by any goroutine.
type report struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	kinds [reportKinds]struct {
		last   time.Time
		missed int
	}
}

// line logs a warning about a connection, or counts it. What is about a client
// that has no connection yet has no conn.
func (p *report) line(kind int, text string, c *Conn, args ...any) {
	now := p.now()
	p.mu.Lock()
	k := &p.kinds[kind]
	if since := now.Sub(k.last); !k.last.IsZero() && since >= 0 && since < reportEvery {
		k.missed++
		p.mu.Unlock()
		return
	}
	missed := k.missed
	k.last, k.missed = now, 0
	p.mu.Unlock()
	if c != nil {
		args = append(args, "conn", c)
	}
	if missed > 0 {
		args = append(args, "suppressed", missed)
	}
	p.log.Warn(text, args...)
}

// reportRead logs why a connection is no longer read, if that is worth a line.
func (c *Conn) reportRead(err error) {
	switch {
	case errors.Is(err, errHandler): // has its line
	case malformed(err):
		c.s.report.line(reportMalformed, "malformed request", c, "error", err)
	case errors.Is(err, ErrSlow):
		c.s.report.line(reportSlow, "slow client", c, "error", err)
	case errors.Is(err, errTLS):
		c.s.report.line(reportTLS, "TLS handshake failed", c, "error", err)
	}
}
