package wasm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/varvelog/varve/wasm/abi"
	"github.com/varvelog/varve/wasm/host"
)

// instanceBytes is what an instance costs while no call runs: guest stacks,
// tables and handles (10 to 100 KiB for ordinary modules, 600 for Go's), and the
// window for frames, whose pages stay.
const instanceBytes = 512 << 10

// A Pool is a module with parameters and limits, and the instances that run it.
type Pool struct {
	m    *Module
	v    *variant
	c    PoolConfig
	log  host.Log
	im   *image
	once bool // instances are used once, since they cannot be set back

	slots   chan struct{} // a token per call that runs
	stopped chan struct{} // closed by Stop

	closing  sync.Once
	closeErr error

	mu   sync.Mutex
	dead bool
	idle []*instance // the last one was used last
	all  []*instance
}

// NewPool makes the first instance: it runs the start function, _initialize and
// varve_configure, and takes the image that every call begins with. Refused
// parameters are a *ConfigureError, other faults of the module wrap ErrStart,
// ErrModule or ErrCapability; ErrMemory may pass. The caller closes the pool. A
// limit of pages that is new for the module compiles it again.
func (m *Module) NewPool(c PoolConfig) (*Pool, error) {
	c = c.complete()
	for _, want := range m.manifest.Capabilities {
		if !slices.Contains(c.Capabilities, want) {
			return nil, fmt.Errorf("plugin %s: %q: %w", m.manifest.Name, want, ErrCapability)
		}
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.making.Add(1)
	m.mu.Unlock()
	defer m.making.Done()
	v, err := m.variant(context.Background(), c.MemoryPages)
	if err != nil {
		return nil, fmt.Errorf("plugin %s with %d pages of memory: %w", m.manifest.Name, c.MemoryPages, err)
	}
	p := &Pool{
		m: m, v: v, c: c, once: v.info.WritesTables,
		slots: make(chan struct{}, c.InstancesMax), stopped: make(chan struct{}),
	}
	if m.manifest.Asks(abi.CapabilityLog) {
		p.log = c.Log
	}
	if err := p.start(); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", m.manifest.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools[p] = struct{}{} // also if m closes meanwhile: it waits for this call
	return p, nil
}

// start makes the first instance and the image.
func (p *Pool) start() error {
	running := p.runBytes()
	if err := p.m.r.budget.take(running); err != nil {
		return err
	}
	defer p.m.r.budget.release(running)
	in, err := p.boot()
	if err != nil {
		return err
	}
	if p.once {
		p.im = &image{memory: &snapshot{}}
		return p.discard(in)
	}
	if p.im, err = in.snapshot(); err != nil {
		return errors.Join(err, p.discard(in))
	}
	if err := p.m.r.budget.take(int64(p.im.memory.prefix)); err != nil {
		return errors.Join(err, p.im.memory.close(), p.discard(in))
	}
	p.idle = append(p.idle, in)
	return nil
}

// runBytes is what a running call may use.
func (p *Pool) runBytes() int64 { return int64(p.v.pages) * PageBytes }

// boot makes an instance that has run everything but hooks.
func (p *Pool) boot() (*instance, error) {
	in, err := p.make()
	if err != nil {
		return nil, err
	}
	if err := in.boot(p.v, p.m.manifest.Name, p.c.Parameters, p.c.StartFuel); err != nil {
		return nil, errors.Join(err, p.discard(in))
	}
	return in, nil
}

// make makes an instance and lets Stop find it.
func (p *Pool) make() (*instance, error) {
	if err := p.m.r.budget.take(p.idleBytes()); err != nil {
		return nil, err
	}
	in, err := instantiate(p.m.r, p.v, p.log)
	if err != nil {
		p.m.r.budget.release(p.idleBytes())
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, in)
	if p.dead {
		in.stop.Set(1)
	}
	return in, nil
}

// idleBytes is what an instance uses while no call runs.
func (p *Pool) idleBytes() int64 {
	if resetIsLazy {
		return instanceBytes
	}
	return instanceBytes + p.runBytes()
}

// discard closes an instance.
func (p *Pool) discard(in *instance) error {
	p.mu.Lock()
	p.all = slices.DeleteFunc(p.all, func(o *instance) bool { return o == in })
	p.mu.Unlock()
	p.m.r.budget.release(p.idleBytes())
	return in.close()
}

// Manifest returns the manifest of the pool's module.
func (p *Pool) Manifest() abi.Manifest { return p.m.manifest }

// Call runs hook over one frame, made by abi.Frame, in a free instance, which it
// waits for; at most InstancesMax calls run at a time. c is the context that the
// frame was made with, fuel the budget. The verdicts are copied to dst[:0],
// which may be nil, and neither frame nor dst is kept.
//
// Whatever the plugin does is a Result. Errors say that it could not be run:
// ErrMemory, ErrStopped, ErrHook, or the system's. A stopped pool ends a running
// call with WhyStopped.
func (p *Pool) Call(hook abi.Hook, c abi.Context, frame []byte, fuel int64, dst []byte) (Result, error) {
	if !hook.Known() || !p.m.manifest.HasHook(hook) {
		return Result{}, fmt.Errorf("call %s of plugin %s: %w", hook, p.m.manifest.Name, ErrHook)
	}
	began := time.Now()
	in, err := p.acquire()
	if err != nil {
		return Result{}, fmt.Errorf("call plugin %s: %w", p.m.manifest.Name, err)
	}
	got := time.Now()
	r := in.run(p, hook, &c, frame, fuel, dst[:0])
	if err := p.release(in, len(frame)); err != nil {
		return Result{}, fmt.Errorf("call plugin %s: %w", p.m.manifest.Name, err)
	}
	r.Waited, r.Elapsed = got.Sub(began), time.Since(got)
	return r, nil
}

// acquire waits for a slot and returns an instance as the image has it.
func (p *Pool) acquire() (*instance, error) {
	select {
	case <-p.stopped:
		return nil, ErrStopped
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.stopped:
		return nil, ErrStopped
	}
	in, err := p.take()
	if err != nil {
		<-p.slots
		return nil, err
	}
	return in, nil
}

// take returns an idle instance or a new one.
func (p *Pool) take() (*instance, error) {
	running := p.runBytes()
	if err := p.m.r.budget.take(running); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		p.m.r.budget.release(running)
		return nil, ErrStopped
	}
	if n := len(p.idle); n > 0 {
		in := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return in, nil
	}
	p.mu.Unlock()
	in, err := p.clone()
	if err == nil {
		return in, nil
	}
	p.m.r.budget.release(running)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, ErrStopped // which is what ended its start, if anything did
	}
	return nil, err
}

// clone makes another instance in the image's state.
func (p *Pool) clone() (*instance, error) {
	if p.once {
		return p.boot() // the same as the first one: nothing differs
	}
	in, err := p.make()
	if err != nil {
		return nil, err
	}
	if err := in.attach(p.im); err != nil {
		return nil, errors.Join(err, p.discard(in))
	}
	return in, nil
}

// release sets the instance back after a call with a frame of n bytes, and gives
// it and its slot to the next call.
func (p *Pool) release(in *instance, n int) error {
	defer func() {
		p.m.r.budget.release(p.runBytes())
		<-p.slots
	}()
	if p.once {
		return p.discard(in)
	}
	if err := in.reset(p.im, n); err != nil {
		return errors.Join(err, p.discard(in))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, in)
	return nil
}

// Stop ends running calls at their next check, with WhyStopped, and makes later
// ones fail with ErrStopped. It does not wait.
func (p *Pool) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return
	}
	p.dead = true
	close(p.stopped)
	for _, in := range p.all {
		in.stop.Set(1)
	}
}

// Close stops the pool, waits for running calls to end and gives the instances
// and the image back. Calling it again waits and returns the same.
func (p *Pool) Close() error {
	p.closing.Do(func() { p.closeErr = p.close() })
	return p.closeErr
}

func (p *Pool) close() error {
	p.Stop()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	var errs []error
	for _, in := range slices.Clone(p.all) {
		errs = append(errs, p.discard(in))
	}
	p.idle = nil
	p.m.r.budget.release(int64(p.im.memory.prefix))
	errs = append(errs, p.im.memory.close())
	p.m.mu.Lock()
	delete(p.m.pools, p)
	p.m.mu.Unlock()
	return errors.Join(errs...)
}
