package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"
)

// ErrServerClosed is returned by Serve after Shutdown, and is the cause of
// connections that it ended.
var ErrServerClosed = errors.New("wire: server closed")

// Between failed accepts, such as for want of file descriptors, a listener
// waits this long, doubling.
const (
	acceptWaitMin = 5 * time.Millisecond
	acceptWaitMax = time.Second
)

// A Server serves any number of listeners with one handler and one set of
// limits. Its methods may be called from any goroutine.
type Server struct {
	set     Settings
	handler Handler
	opener  Opener // handler, if it is one
	log     *slog.Logger
	report  report

	counters     counters
	buffers      *bufferPool
	arriving     *budget // small frames that are being read
	small, large *budget
	// reserved is the memory of answers that was asked for before they were made;
	// replies is that of all others.
	reserved, replies *budget
	// turns are those of requests of few bytes with answers of any size.
	turns *budget

	wg     sync.WaitGroup // goroutines of connections; added to under mu
	closed chan struct{}  // closed by Shutdown

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	perIP     map[admission]int
	lastID    uint64
}

// NewServer returns a server that serves nothing yet. Settings.Known must be
// set. A nil log discards.
func NewServer(set Settings, h Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s := &Server{
		set:       set.withDefaults(),
		handler:   h,
		log:       log,
		buffers:   newBufferPool(),
		closed:    make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*Conn]struct{}{},
		perIP:     map[admission]int{},
	}
	s.opener, _ = h.(Opener)
	s.report.log, s.report.now = log, s.set.Now
	small, large := s.set.budgets()
	s.arriving, s.small, s.large = newBudget(small), newBudget(small), newBudget(large)
	s.replies = newBudget(max(s.set.AnswerBytes/4, 1))
	s.turns = newBudget(max(4, 2*int64(runtime.GOMAXPROCS(0))))
	s.reserved = newBudget(max(s.set.AnswerBytes-s.replies.total, 1))
	return s
}

// Serve accepts connections until Shutdown, then returns ErrServerClosed, or
// until l is closed by someone else, then returns its error. Any other failed
// accept is logged and tried again. It closes l. Name is the listener's name,
// such as PLAINTEXT. A listener of crypto/tls gives TLS.
func (s *Server) Serve(name string, l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
	}()

	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			wait = 0
			s.start(name, nc)
			continue
		}
		select {
		case <-s.closed:
			return ErrServerClosed
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		wait = min(max(2*wait, acceptWaitMin), acceptWaitMax)
		s.report.line(reportAccept, "accept failed", nil, "listener", name, "error", err, "wait_seconds", wait.Seconds())
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.closed:
			t.Stop()
			return ErrServerClosed
		}
	}
}

// start runs a new connection, or closes it if there are too many.
func (s *Server) start(name string, nc net.Conn) {
	c, why := s.admit(name, nc)
	if c == nil {
		if why != "" {
			s.report.line(reportRefused, "connection refused", nil,
				"listener", name, "remote", nc.RemoteAddr().String(), "setting", why)
		}
		_ = nc.Close()
		return
	}
	go c.read()
	go c.write()
}

// Shutdown stops accepting, lets the requests that were read be answered, and
// closes. When ctx is done first it closes what is left at once and returns the
// context's error, without waiting for handlers.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		close(s.closed)
	}
	for l := range s.listeners {
		_ = l.Close()
	}
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()

	for _, c := range conns {
		c.end(ErrServerClosed)
	}
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	for _, c := range conns {
		c.close(ErrServerClosed)
	}
	return ctx.Err()
}
