package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"
)

// progress shows on a terminal how far long work is. It writes nothing if
// stderr is no terminal, or if stdout is one, as the data would run into it.
type progress struct {
	w     io.Writer // nil: show nothing
	what  string
	begun time.Time
	shown time.Time
}

// progressEvery is how often the line is written again.
const progressEvery = 250 * time.Millisecond

func newProgress(c *cli.Context, what string, quiet bool) *progress {
	p := &progress{what: what, begun: time.Now()}
	if isTerminal(c.App.ErrWriter) && (quiet || !isTerminal(c.App.Writer)) {
		p.w = c.App.ErrWriter
	}
	return p
}

// show tells how many records and bytes there were so far.
func (p *progress) show(records, bytes int64) {
	if p.w == nil || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	rate := float64(records) / max(time.Since(p.begun).Seconds(), 0.001)
	fmt.Fprintf(p.w, "\r\x1b[K%s %s, %s, %.0f/s", p.what, count(records, "record"), byteCount(bytes), rate)
}

// end takes the line away.
func (p *progress) end() {
	if p.w != nil && !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// count is a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// byteCount is a number of bytes for people.
func byteCount(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return count(n, "byte")
	}
	v, unit := float64(n)/1024, units[0]
	for _, u := range units[1:] {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
