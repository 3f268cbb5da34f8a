package broker

import (
	"context"
	"log/slog"

	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/metric"
)

// countingHandler counts the messages that are written.
type countingHandler struct {
	slog.Handler
	counts *[4]*metric.Counter // debug, info, warn, error
}

func newCountingHandler(h slog.Handler, set *metric.Set) countingHandler {
	counts := &[4]*metric.Counter{}
	for i, level := range []string{"debug", "info", "warn", "error"} {
		counts[i] = set.Counter(metrics.LogMessages, level)
	}
	return countingHandler{h, counts}
}

// Handle implements slog.Handler.
func (h countingHandler) Handle(ctx context.Context, r slog.Record) error {
	at := 0
	switch {
	case r.Level >= slog.LevelError:
		at = 3
	case r.Level >= slog.LevelWarn:
		at = 2
	case r.Level >= slog.LevelInfo:
		at = 1
	}
	h.counts[at].Add(1)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h countingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return countingHandler{h.Handler.WithAttrs(attrs), h.counts}
}

// WithGroup implements slog.Handler.
func (h countingHandler) WithGroup(name string) slog.Handler {
	return countingHandler{h.Handler.WithGroup(name), h.counts}
}
