package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// httpServer serves health: /healthz while the process works, /readyz while
// clients are served.
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
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !(backend{b}).Ready() {
			http.Error(w, "not ready: the cluster metadata is being recovered", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return &httpServer{
		listener: l,
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		},
		log: func(err error) { b.c.Log.Error("HTTP listener ended", "error", err) },
	}, nil
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
