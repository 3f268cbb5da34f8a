package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/kafka"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/wire"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
	"github.com/varvelog/varve/plugins/registry"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/wasm"
)

// Components are the edges of a broker.
type Components struct {
	FS vfs.FS
	// Root is the path of FS in the operating system, for what cannot go through
	// it: the index of the cold tier's cache. Empty: there is none.
	Root   string
	Listen func(network, address string) (net.Listener, error)
	Now    func() time.Time
	Log    *slog.Logger
	// Version is that of the program, for metrics. Empty: the module's.
	Version string
	// SetLogLevel follows log.level when it is altered; nil: nobody does.
	SetLogLevel func(level string)
	// OpenStore opens the object store that tier.url names; nil opens what
	// package objstore knows.
	OpenStore func(rawURL string) (objstore.Store, error)
}

// Broker is an open broker. Make one with Open, then call Run.
type Broker struct {
	c        Components
	s        *config.Broker
	identity identity
	lock     io.Closer

	node     *node.Node
	owner    *owner
	workers  *workers
	alarms   *alarms
	handlers *kafka.Handlers
	server   *wire.Server
	topics   topicCache
	dynamic  dynamicSettings
	ids      producerIDs
	groups   *coordinator.Coordinator
	tier     *tierHost
	meters   *meters

	listeners  []net.Listener // in the order of Settings.Listeners
	http       *httpServer
	registered atomic.Bool
	failure    atomic.Pointer[error] // why nothing is written any more; nil: it is

	wasm     *wasm.Runtime
	registry *registry.Registry
	modules  *moduleStore
	chains   *chainHost

	life       context.Context // ends when Run begins to end
	background sync.WaitGroup  // goroutines that end with it
	ready      chan struct{}
	builtins   chan struct{} // closed when the built-in plugins are there, or failed
}

// Open locks the data directory and recovers what is in it, and opens the
// listeners, which do not accept anything yet. It blocks for as long as the
// replay takes.
func Open(c Components, s *config.Broker) (*Broker, error) {
	id, lock, err := openDirectory(c.FS, s.NodeID, s.ClusterID)
	if err != nil {
		return nil, err
	}
	b := &Broker{c: c, s: s, identity: id, lock: lock, ready: make(chan struct{}), builtins: make(chan struct{})}
	if err := b.open(); err != nil {
		b.closeListeners()
		if b.tier != nil {
			err = errors.Join(err, b.tier.close())
		}
		lock.Close()
		return nil, err
	}
	return b, nil
}

func (b *Broker) open() error {
	began := b.c.Now()
	if err := b.openMetrics(); err != nil {
		return err
	}
	if err := b.openPlugins(); err != nil {
		return err
	}
	if err := b.openTier(); err != nil {
		return err
	}
	n, rec, err := node.Open(b.nodeConfig(), began)
	if err != nil {
		return fmt.Errorf("recover %s: %w", b.s.LogDir, err)
	}
	b.node = n
	n.Reconfigure() // with the altered settings, which could not be known before
	b.c.Log.Info("recovered", "directory", b.s.LogDir, "groups", len(rec.Groups), "bytes", rec.Bytes,
		"torn_tail", rec.DroppedTail, "duration_seconds", b.c.Now().Sub(began).Seconds())
	for _, l := range b.s.Listeners {
		nl, err := b.c.Listen("tcp", l.Address())
		if err != nil {
			n.Close()
			return fmt.Errorf("listen on %s: %w; is another broker running? set listeners to another port", l, err)
		}
		b.listeners = append(b.listeners, nl)
	}
	if b.http, err = newHTTP(b); err != nil {
		n.Close()
		return err
	}
	return nil
}

func (b *Broker) closeListeners() {
	for _, l := range b.listeners {
		l.Close()
	}
	if b.http != nil {
		b.http.close()
	}
}

// nodeConfig derives the node's configuration from the settings.
func (b *Broker) nodeConfig() node.Config {
	c := node.DefaultConfig(b.c.FS)
	c.ID, c.ClusterID = b.nodeID(), b.identity.ClusterID
	c.Engine.WAL.Directory = b.identity.DirectoryID
	c.Engine.WAL.BytesMax, c.Engine.WAL.FileBytes = b.s.WALBytesMax, b.s.WALFileBytes
	c.Engine.WAL.FirstFileBytes = min(c.Engine.WAL.FirstFileBytes, b.s.WALFileBytes)
	c.Engine.WAL.Entropy = func() uint64 {
		var u [8]byte
		rand.Read(u[:])
		return binary.LittleEndian.Uint64(u[:])
	}
	c.Engine.DiskReserve = b.s.DiskReserveBytes
	c.Engine.SyncEach = b.s.CheckpointSync == "files"
	c.Cache.TailBytes = b.s.TailCacheBytes
	c.Cache.MaxDecompressedBytes = int(b.s.DecompressedMaxBytes)
	c.QueueBytesMax = b.s.PartitionQueueBytes
	c.MaintainEvery = b.s.RetentionCheckInterval
	c.Plan = b.plan
	c.LoadChain, c.RunChain, c.Letters = b.chains.load, b.chains.run, letters{}
	c.Entropy = c.Engine.WAL.Entropy
	c.Tier = b.tier.config()
	c.Report = b.report
	return c
}

// report logs what an operator must know.
func (b *Broker) report(e node.Event) {
	var args []any
	if e.Topic != "" {
		args = append(args, "topic", e.Topic)
	}
	if e.Partition != (ident.Partition{}) {
		args = append(args, "partition", e.Partition.Index, "topic_id", e.Partition.Topic.String())
	}
	b.c.Log.Error(e.Text, append(args, "error", e.Err)...)
}

// Run serves until ctx is done, then drains: it stops accepting, answers what
// is in hand, makes a checkpoint and returns nil. It returns an error when the
// broker had to stop.
func (b *Broker) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.Background())
	defer end()
	b.life = life
	b.workers = newWorkers(max(4, 2*runtime.GOMAXPROCS(0)))
	b.alarms = newAlarms()
	b.owner = newOwner(b.node, b.nodeConfig().Engine.TasksMax, b.c.Now)
	b.owner.measure(&b.meters.disk)
	b.owner.failed = b.onFailure
	b.chains.start()
	b.tier.start()
	b.groups = coordinator.New(groupHost{b}, coordinator.SettingsOf(b.s), b.c.Log)
	b.handlers = kafka.New(backend{b}, b.c.Log)
	b.handlers.Observe(b.meters)
	b.server = wire.NewServer(b.wireSettings(), b.handlers, b.c.Log)

	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- b.owner.run(stop) }()
	go b.register()

	var err error
	select {
	case <-b.ready:
		serving := b.serve()
		select {
		case <-ctx.Done():
		case err = <-failed:
			failed <- err
		}
		b.drain(err == nil)
		serving.Wait()
	case <-ctx.Done():
	case err = <-failed:
		failed <- err
	}
	end()
	b.groups.Close()
	b.background.Wait()
	close(stop)
	err = errors.Join(err, onlyNew(err, <-failed))
	b.workers.close()
	b.chains.close()
	err = errors.Join(err, b.tier.close())
	b.alarms.close()
	if err == nil {
		err = b.owner.settle(b.c.Now().Add(drainMax))
	}
	b.owner.close()
	err = errors.Join(err, b.wasm.Close())
	b.closeListeners()
	return errors.Join(err, b.lock.Close())
}

// onFailure notes that the disk failed, and reports whether what is stored is
// still served. Before clients are, there is nothing to go on with.
func (b *Broker) onFailure(err error) bool {
	if b.s.DiskFailureAction == "exit" || !b.registered.Load() {
		return false
	}
	b.failure.Store(&err)
	b.c.Log.Error("the disk failed: what is stored is still served, nothing is written or acknowledged any more; mend the disk, then restart the broker", "directory", b.s.LogDir, "error", err)
	return true
}

// onlyNew returns err unless it is already known.
func onlyNew(known, err error) error {
	if known != nil {
		return nil
	}
	return err
}

// drainMax is how long a shutdown waits for answers, and again for the last
// checkpoint.
const drainMax = 10 * time.Second

// drain ends the listeners. A broker that failed answers nothing any more, so
// nobody is waited for.
func (b *Broker) drain(orderly bool) {
	wait := time.Duration(0)
	if orderly {
		wait = drainMax
		b.c.Log.Info("shutting down", "drain_seconds_max", drainMax.Seconds())
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	b.handlers.Drain()
	b.groups.Drain()
	if err := b.server.Shutdown(ctx); err != nil && orderly {
		b.c.Log.Warn("connections were cut before their requests were answered", "error", err)
	}
	b.http.close()
}

// serve begins to accept on every listener.
func (b *Broker) serve() *sync.WaitGroup {
	wg := &sync.WaitGroup{}
	for i, l := range b.listeners {
		wg.Go(func() {
			err := b.server.Serve(b.s.Listeners[i].Name, l)
			if !errors.Is(err, wire.ErrServerClosed) {
				b.c.Log.Error("listener ended", "listener", b.s.Listeners[i].String(), "error", err)
			}
		})
	}
	wg.Go(b.http.serve)
	return wg
}

func (b *Broker) wireSettings() wire.Settings {
	return wire.Settings{
		Known:         kafka.Known,
		FrameBytesMax: int(b.s.SocketRequestMaxBytes), MemoryBytes: b.s.MemoryRequestBytes, AnswerBytes: b.s.MemoryResponseBytes,
		ConnectionsMax: int(b.s.MaxConnections), ConnectionsMaxPerIP: int(b.s.MaxConnectionsPerIP),
		IdleMax: b.s.ConnectionsMaxIdle, Now: b.c.Now,
	}
}

// register announces the broker in the cluster metadata once group 0 leads, and
// opens the gate (N1 of package node).
func (b *Broker) register() {
	host, port := b.advertised(0)
	b.owner.post(func(n *node.Node) {
		if !n.Ready() {
			b.alarms.after(5*time.Millisecond, b.register)
			return
		}
		n.Command(metadata.RegisterBroker{
			NodeID: b.nodeID(), DirectoryID: b.identity.DirectoryID, Host: host, Port: port, Rack: b.s.Rack,
		}, func(r metadata.Result) {
			if r.Err != nil {
				b.c.Log.Error("the broker cannot register itself", "error", r.Err)
				b.alarms.after(time.Second, b.register)
				return
			}
			b.registered.Store(true)
			close(b.ready)
			b.background.Go(func() { b.prepareBuiltins(b.life) })
		})
	})
}

// Ready is closed when clients are served.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addresses returns where the broker listens: Kafka's listeners in the order of
// the settings, and HTTP.
func (b *Broker) Addresses() (kafka []string, http string) {
	for i, l := range b.listeners {
		kafka = append(kafka, b.s.Listeners[i].Name+"://"+l.Addr().String())
	}
	return kafka, b.http.address()
}

// ClusterID returns the id of the cluster that the data directory belongs to.
func (b *Broker) ClusterID() string { return b.identity.ClusterID }
