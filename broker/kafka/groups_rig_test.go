package kafka

import (
	"log/slog"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/internal/ident"
)

// rigGroups is a dataRig as the host of a coordinator, with a clock that stands
// still until the test advances it.
type rigGroups struct {
	r *dataRig
	c *coordinator.Coordinator

	mu     sync.Mutex
	now    time.Time
	alarms map[*rigAlarm]struct{}
}

type rigAlarm struct {
	at time.Time
	f  func()
}

var _ coordinator.Host = (*rigGroups)(nil)

func newRigGroups(r *dataRig, log *slog.Logger) *rigGroups {
	g := &rigGroups{r: r, now: r.now, alarms: map[*rigAlarm]struct{}{}}
	g.c = coordinator.New(g, coordinator.SettingsOf(r.cfg), log)
	return g
}

func (g *rigGroups) Ready() bool                              { return g.r.Ready() }
func (g *rigGroups) Image() *metadata.Image                   { return g.r.Image() }
func (g *rigGroups) Replica(id ident.Partition) *node.Replica { return g.r.Replica(id) }
func (g *rigGroups) Run(f func())                             { go f() }

func (g *rigGroups) Command(c metadata.Command, done func(metadata.Result)) { g.r.Command(c, done) }

func (g *rigGroups) Confirm(id ident.Partition, done func(error)) {
	g.Post(func() { g.r.n.Confirm(id, done) })
}

func (g *rigGroups) Post(f func()) {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	f()
	g.r.drive()
}

func (g *rigGroups) Now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *rigGroups) After(d time.Duration, f func()) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := &rigAlarm{g.now.Add(d), f}
	g.alarms[a] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.alarms, a)
	}
}

// advance lets time pass.
func (g *rigGroups) advance(d time.Duration) {
	g.mu.Lock()
	g.now = g.now.Add(d)
	var due []func()
	for a := range g.alarms { // order: all of them
		if !a.at.After(g.now) {
			due = append(due, a.f)
			delete(g.alarms, a)
		}
	}
	g.mu.Unlock()
	for _, f := range due {
		f()
	}
}

func (r *dataRig) Groups() *coordinator.Coordinator { return r.groups.c }

func (g *adminRig) Groups() *coordinator.Coordinator {
	g.t.Error("Groups by an admin request")
	return nil
}
