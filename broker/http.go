package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/admin"
)

// httpServer serves the admin interface.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	log      func(error)
}

func newHTTP(b *Broker) (*httpServer, error) {
	l, err := b.c.Listen("tcp", b.s.HTTPListen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for HTTP: %w; set http.listen to another port", b.s.HTTPListen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.meters.handler)
	mux.Handle("/", admin.Handler(pluginAdmin{b}))
	return &httpServer{
		listener: &fewConns{Listener: l, open: make(chan struct{}, httpConnsMax)},
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
			WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		},
		log: func(err error) { b.c.Log.Error("HTTP listener ended", "error", err) },
	}, nil
}

// httpConnsMax bounds the connections of the admin interface, which would else
// take the files that clients' connections and logs need. Further ones are closed
// as they come.
const httpConnsMax = 1000

// fewConns is a listener of a bounded number of connections at a time.
type fewConns struct {
	net.Listener
	open chan struct{}
}

func (l *fewConns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return &fewConn{Conn: c, closed: sync.OnceFunc(func() { <-l.open })}, nil
		default:
			_ = c.Close()
		}
	}
}

type fewConn struct {
	net.Conn
	closed func()
}

func (c *fewConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

func (h *httpServer) address() string { return h.listener.Addr().String() }

func (h *httpServer) serve() {
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		h.log(err)
	}
}

// close answers what is in hand and closes the listener. It may be called more
// than once.
func (h *httpServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.server.Shutdown(ctx) // what is left after a second is cut with the process
	_ = h.listener.Close()
}
