package s3gw

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A fault is what a proxy does to one request.
type fault struct {
	status int    // answer with this instead of forwarding
	code   string // and this S3 error code
	lost   bool   // forward, then break the connection instead of answering
	cut    int64  // break the connection after so many bytes of the answer's body
}

// proxy stands between the driver and the server. decide is asked for every
// request, one at a time, with the number of requests of that kind so far, from
// 1. It returns the endpoint.
func proxy(t *testing.T, decide func(kind string, n int) fault) string {
	t.Helper()
	target, err := url.Parse(server.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		// The request's Host stays: it is signed.
		Director: func(r *http.Request) { r.URL.Scheme, r.URL.Host = target.Scheme, target.Host },
	}
	var mu sync.Mutex
	counts := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		kind := kindOf(r)
		counts[kind]++
		f := decide(kind, counts[kind])
		mu.Unlock()
		switch {
		case f.status != 0:
			_, _ = io.Copy(io.Discard, r.Body) // else the client sees its writing fail
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(f.status)
			_, _ = w.Write([]byte("<Error><Code>" + f.code + "</Code><Message>injected</Message></Error>"))
		case f.lost:
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case f.cut > 0:
			forward.ServeHTTP(&cutWriter{ResponseWriter: w, left: f.cut}, r)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// cutWriter breaks the connection in the middle of a body.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) >= w.left {
		_, _ = w.ResponseWriter.Write(p[:w.left])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(p))
	return w.ResponseWriter.Write(p)
}

// kindOf names a request of the S3 protocol.
func kindOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return "part"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	}
	return r.Method
}
