package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Broker is what the HTTP interface needs of the broker. Methods block until
// what they change is durable and, for chains, in force. Errors are answered
// with the status of the sentinel that they wrap, else 500.
type Broker interface {
	Ready() bool
	// Failure is why the broker writes nothing any more, nil while it does.
	Failure() error
	PushPlugin(ctx context.Context, module []byte) (Plugin, error)
	Plugins(ctx context.Context) []Plugin
	DeletePlugin(ctx context.Context, name, version string) error
	PutStage(ctx context.Context, name string, spec []byte) (Stage, error)
	Stages() []Stage
	DeleteStage(ctx context.Context, name string) error
	Chain(topic string) (Chain, error)
	SetChain(ctx context.Context, topic string, stages []string) (Chain, error)
	// TierStatus describes the partitions that are tiered, or were; topic ""
	// means those of all topics.
	TierStatus(ctx context.Context, topic string) (TierStatus, error)
	// Orphans lists objects in the cold tier that no manifest names.
	Orphans(ctx context.Context) ([]Orphan, error)
}

// What a request can meet; each is one HTTP status.
var (
	ErrInvalid     = errors.New("invalid")           // 400
	ErrNotFound    = errors.New("not found")         // 404
	ErrConflict    = errors.New("conflict")          // 409
	ErrTooLarge    = errors.New("too large")         // 413
	ErrUnavailable = errors.New("not available now") // 503
	errBody        = errors.New("request body")      // 400
)

// Plugin is one version of a plugin.
type Plugin struct {
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Digest      string          `json:"digest"` // SHA-256, hexadecimal
	Size        int64           `json:"size"`
	Hooks       []string        `json:"hooks,omitempty"`
	Parts       []string        `json:"parts,omitempty"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"` // JSON Schema
	Builtin     bool            `json:"builtin,omitempty"`
}

// Stage is a named use of a plugin.
type Stage struct {
	Name   string          `json:"name"`
	Spec   json.RawMessage `json:"spec"`
	Topics []string        `json:"topics,omitempty"` // whose chains name it
}

// Chain is a topic's chain.
type Chain struct {
	Topic      string   `json:"topic"`
	Stages     []string `json:"stages"`
	Generation uint64   `json:"generation"`
}

// Bounds of request bodies, in bytes.
const (
	moduleBytesMax = 16 << 20
	jsonBytesMax   = 256 << 10
)

// Bodies that are in hand at a time, since each is held whole; further ones wait,
// and are refused with 503 after bodyWaitMax.
const (
	modulesMax  = 2
	jsonsMax    = 64
	bodyWaitMax = 20 * time.Second
	// freeBytesMax is the length up to which a body needs no place.
	freeBytesMax = 16 << 10
)

// Handler serves the interface.
func Handler(b Broker) http.Handler {
	h := &handler{b: b, modules: make(chan struct{}, modulesMax), jsons: make(chan struct{}, jsonsMax)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /v1/plugins", h.answer(func(r *http.Request) (any, error) { return list(b.Plugins(r.Context())), nil }))
	mux.HandleFunc("POST /v1/plugins", h.answer(h.pushPlugin))
	mux.HandleFunc("DELETE /v1/plugins", h.answer(h.deletePlugin))
	mux.HandleFunc("GET /v1/stages", h.answer(func(*http.Request) (any, error) { return list(b.Stages()), nil }))
	mux.HandleFunc("PUT /v1/stages/{name}", h.answer(h.putStage))
	mux.HandleFunc("DELETE /v1/stages/{name}", h.answer(h.deleteStage))
	mux.HandleFunc("GET /v1/topics/{topic}/chain", h.answer(func(r *http.Request) (any, error) { return b.Chain(r.PathValue("topic")) }))
	mux.HandleFunc("PUT /v1/topics/{topic}/chain", h.answer(h.setChain))
	mux.HandleFunc("GET /v1/tier", h.answer(func(r *http.Request) (any, error) {
		return b.TierStatus(r.Context(), r.URL.Query().Get("topic"))
	}))
	mux.HandleFunc("GET /v1/tier/orphans", h.answer(func(r *http.Request) (any, error) {
		o, err := b.Orphans(r.Context())
		return map[string]any{"orphans": list(o)}, err
	}))
	mux.HandleFunc("/", h.answer(func(r *http.Request) (any, error) {
		return nil, fmt.Errorf("%w: %s %s; docs/http.md lists the paths", ErrNotFound, r.Method, r.URL.Path)
	}))
	return mux
}

type handler struct {
	b              Broker
	modules, jsons chan struct{} // have a place for each body in hand
}

// list makes an empty list of nil, since clients expect [].
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := h.b.Failure(); err != nil {
		http.Error(w, fmt.Sprintf("the disk failed, only reads are served: %v; mend the disk, then restart the broker", err), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if !h.b.Ready() {
		http.Error(w, "not ready: the cluster metadata is being recovered", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// answer turns a function into a handler of JSON.
func (h *handler) answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		status := http.StatusOK
		if err != nil {
			status, v = statusOf(err), map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if v == nil {
			v = struct{}{}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(v) // a client that left
	}
}

func statusOf(err error) int {
	for _, s := range []struct {
		err    error
		status int
	}{
		{ErrInvalid, http.StatusBadRequest}, {errBody, http.StatusBadRequest}, {ErrNotFound, http.StatusNotFound},
		{ErrConflict, http.StatusConflict}, {ErrTooLarge, http.StatusRequestEntityTooLarge},
		{ErrUnavailable, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusGatewayTimeout},
	} {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// take takes a place among the bodies in hand, unless the body is small. One that
// says that it is too long is refused unread.
func take(r *http.Request, limit int64, places chan struct{}) (done func(), err error) {
	switch {
	case r.ContentLength > limit:
		return nil, tooLong(limit)
	case r.ContentLength >= 0 && r.ContentLength <= freeBytesMax:
		return func() {}, nil
	}
	timeout := time.NewTimer(bodyWaitMax)
	defer timeout.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-r.Context().Done():
		return nil, fmt.Errorf("%w: %w", errBody, r.Context().Err())
	case <-timeout.C:
		return nil, fmt.Errorf("%w: %d others are in hand; try again in a moment", ErrUnavailable, cap(places))
	}
}

// body reads a request's body up to a bound.
func body(r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBody, err)
	case int64(len(b)) > limit:
		return nil, tooLong(limit)
	case len(b) == 0:
		return nil, fmt.Errorf("%w is empty", errBody)
	}
	return b, nil
}

func tooLong(limit int64) error {
	return fmt.Errorf("%w: the body is longer than %d bytes", ErrTooLarge, limit)
}

func (h *handler) pushPlugin(r *http.Request) (any, error) {
	done, err := take(r, moduleBytesMax, h.modules)
	if err != nil {
		return nil, err
	}
	defer done()
	module, err := body(r, moduleBytesMax)
	if err != nil {
		return nil, err
	}
	return h.b.PushPlugin(r.Context(), module)
}

func (h *handler) deletePlugin(r *http.Request) (any, error) {
	q := r.URL.Query()
	return nil, h.b.DeletePlugin(r.Context(), q.Get("name"), q.Get("version"))
}

func (h *handler) putStage(r *http.Request) (any, error) {
	done, err := take(r, jsonBytesMax, h.jsons)
	if err != nil {
		return nil, err
	}
	defer done()
	spec, err := body(r, jsonBytesMax)
	if err != nil {
		return nil, err
	}
	return h.b.PutStage(r.Context(), r.PathValue("name"), spec)
}

func (h *handler) deleteStage(r *http.Request) (any, error) {
	return nil, h.b.DeleteStage(r.Context(), r.PathValue("name"))
}

func (h *handler) setChain(r *http.Request) (any, error) {
	done, err := take(r, jsonBytesMax, h.jsons)
	if err != nil {
		return nil, err
	}
	defer done()
	b, err := body(r, jsonBytesMax)
	if err != nil {
		return nil, err
	}
	var q struct {
		Stages []string `json:"stages"`
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, fmt.Errorf(`%w: %w; it should be like {"stages": ["redact-orders"]}`, errBody, err)
	}
	return h.b.SetChain(r.Context(), r.PathValue("topic"), q.Stages)
}
