package broker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/builtin"
	"github.com/varvelog/varve/plugins/pipeline"
	"github.com/varvelog/varve/plugins/registry"
	"github.com/varvelog/varve/wasm"
)

// chainHost makes chains of the metadata's stages and runs them.
type chainHost struct {
	b       *Broker
	loaders *workers // compile
	runners *workers // run batches

	mu    sync.Mutex
	pools map[ident.TopicID][]registry.PoolKey // that topics' chains use
}

// openPlugins makes what runs plugins. Nothing is compiled before a chain or an
// upload asks for it.
func (b *Broker) openPlugins() error {
	r, err := wasm.NewRuntime(wasm.Options{})
	if err != nil {
		return fmt.Errorf("open the plugin runtime: %w", err)
	}
	b.wasm = r
	b.modules = newModuleStore(b)
	b.registry = registry.New(r, b.modules)
	b.chains = &chainHost{b: b, pools: map[ident.TopicID][]registry.PoolKey{}, loaders: newWorkers(0), runners: newWorkers(0)}
	return nil
}

// start begins to load and run chains; what was asked for before waits.
func (h *chainHost) start() {
	h.loaders.grow(1)
	h.runners.grow(max(1, runtime.GOMAXPROCS(0)/2))
}

func (h *chainHost) close() {
	h.loaders.close()
	h.runners.close()
}

// prepareBuiltins registers the built-in plugins in the background: nothing
// waits for them, and a start is not held up by compiling them.
func (b *Broker) prepareBuiltins(life context.Context) {
	ctx, cancel := context.WithTimeout(life, loadMax)
	defer cancel()
	defer close(b.builtins)
	if err := b.registerBuiltins(ctx); err != nil && life.Err() == nil {
		b.c.Log.Error("built-in plugins are not available", "error", err)
	}
}

// loadMax bounds the loading of one chain.
const loadMax = 2 * time.Minute

// load is node.Config.LoadChain.
func (h *chainHost) load(t *metadata.Topic, done func(partition.Chain, error)) {
	h.loaders.run(func() {
		ctx, cancel := context.WithTimeout(context.Background(), loadMax)
		defer cancel()
		c, keys, err := h.build(ctx, t)
		if err == nil {
			h.adopt(t.ID, keys)
		}
		h.b.owner.post(func(*node.Node) {
			if err != nil {
				done(nil, err)
				return
			}
			done(c, nil)
		})
	})
}

// run is node.Config.RunChain: batches wait for a worker in order of arrival.
func (h *chainHost) run(work, done func()) {
	came := h.b.c.Now()
	h.runners.run(func() {
		h.b.meters.chains.queue.Record(int64(h.b.c.Now().Sub(came)))
		work()
		h.b.owner.post(func(*node.Node) { done() })
	})
}

// build makes the chain that the metadata names for a topic.
func (h *chainHost) build(ctx context.Context, t *metadata.Topic) (*topicChain, []registry.PoolKey, error) {
	img := h.b.node.Image()
	var stages []pipeline.Stage
	var keys []registry.PoolKey
	for _, name := range t.Chain() {
		s, ok := img.Stage(name)
		if !ok {
			return nil, nil, fmt.Errorf("%w: stage %s, which %s of topic %s names; make it with `varve stage set %s`, or change the chain",
				admin.ErrNotFound, name, metadata.ChainConfig, t.Name, name)
		}
		spec, err := plugins.ParseStage(s.Spec)
		if err == nil {
			err = spec.CheckTopic(t.Name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("stage %s: %w", name, err)
		}
		p, err := findPlugin(img, spec.Plugin, spec.Version)
		if err != nil {
			return nil, nil, fmt.Errorf("stage %s: %w", name, err)
		}
		stage, key, err := h.b.registry.Stage(ctx, name, spec, p.Digest)
		if err != nil {
			return nil, nil, err
		}
		stages, keys = append(stages, stage), append(keys, key)
	}
	c := h.b.topics.get(t, h.b.s)
	return newTopicChain(t, stages, c, h.b.s, h.b.meters.chain(t.Name, stages)), keys, nil
}

// adopt notes what a topic's chain uses now, and closes what no chain uses.
func (h *chainHost) adopt(id ident.TopicID, keys []registry.PoolKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pools[id] = keys
	img := h.b.node.Image()
	inUse := map[registry.PoolKey]bool{}
	for id, keys := range h.pools {
		if t, ok := img.TopicByID(id); !ok || len(t.Chain()) == 0 {
			delete(h.pools, id)
			continue
		}
		for _, k := range keys {
			inUse[k] = true
		}
	}
	if err := h.b.registry.Prune(inUse); err != nil {
		h.b.c.Log.Error("plugin instances cannot be released", "error", err)
	}
}

// topicChain is a topic's chain as its partitions run it.
type topicChain struct {
	chain  *pipeline.Chain
	stages []pipeline.Stage
	topic  *config.Topic
	meters *topicChainMeters

	mu       sync.Mutex
	breakers map[int32][]plugins.Breaker // by partition
}

func newTopicChain(t *metadata.Topic, stages []pipeline.Stage, c *config.Topic, b *config.Broker, m *topicChainMeters) *topicChain {
	limits := record.Limits{
		MaxBatchBytes: int(max(c.MaxMessageBytes, 1)), MaxDecompressedBytes: int(b.DecompressedMaxBytes), RequireKey: c.Compacted(),
		CheckTimestamps:    c.TimestampType != "LogAppendTime",
		TimestampBeforeMax: c.TimestampBeforeMax.Milliseconds(), TimestampAfterMax: c.TimestampAfterMax.Milliseconds(),
	}
	return &topicChain{
		chain: pipeline.New(t.Name, stages, pipeline.Options{Limits: limits}), stages: stages, topic: c, meters: m,
		breakers: map[int32][]plugins.Breaker{},
	}
}

// Run implements partition.Chain.
func (c *topicChain) Run(in partition.ChainInput) partition.ChainOutput {
	codec, level := c.codec(in.Header.Codec())
	began := c.meters.now()
	out, err := c.chain.Run(pipeline.Input{
		Batch: in.Batch, Header: in.Header, Partition: in.Partition.Index, AppendTime: in.Time, Seed: in.Seed,
		Generation: in.Generation, Codec: codec, Level: level, Open: c.open(in.Partition.Index),
	})
	c.meters.ran(&out, err, c.meters.now().Sub(began))
	if err != nil {
		return partition.ChainOutput{Err: errors.Join(partition.ErrChainFailed, err)}
	}
	c.observe(in.Partition.Index, out.Stages)
	if out.Refusal != nil {
		return partition.ChainOutput{Err: out.Refusal}
	}
	o := partition.ChainOutput{Batch: out.Batch}
	for i := range out.Emissions {
		o.Emissions = append(o.Emissions, encodeEmission(&out.Emissions[i]))
	}
	return o
}

// codec returns how a rebuilt batch is compressed.
func (c *topicChain) codec(producer record.Codec) (record.Codec, int) {
	switch c.topic.CompressionType {
	case "gzip":
		return record.Gzip, int(c.topic.CompressionGzipLevel)
	case "snappy":
		return record.Snappy, 0
	case "lz4":
		return record.LZ4, int(c.topic.CompressionLz4Level)
	case "zstd":
		return record.Zstd, int(c.topic.CompressionZstdLevel)
	case "uncompressed":
		return record.None, 0
	}
	return producer, 0
}

// open tells which stages' breakers are open for a partition.
func (c *topicChain) open(partition int32) (open uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.breakers[partition] {
		if c.breakers[partition][i].Open(c.stages[i].Spec.Breaker) {
			open |= 1 << i
		}
	}
	return open
}

func (c *topicChain) observe(partition int32, stages []pipeline.StageStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.breakers[partition] == nil {
		c.breakers[partition] = make([]plugins.Breaker, len(c.stages))
	}
	for i := range stages {
		c.breakers[partition][i].Observe(c.stages[i].Spec.Breaker, stages[i].Records, stages[i].Failed)
	}
}

// awaitChain waits until every partition of a topic on this broker runs the
// chain that the metadata names.
func (b *Broker) awaitChain(ctx context.Context, topic string) error {
	for {
		state := make(chan error, 1)
		b.owner.post(func(n *node.Node) { state <- n.ChainState(topic) })
		var err error
		select {
		case err = <-state:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !errors.Is(err, partition.ErrChainLoading) {
			return err
		}
		wait := make(chan struct{})
		stop := b.alarms.after(10*time.Millisecond, func() { close(wait) })
		select {
		case <-wait:
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
	}
}

// registerBuiltins makes the plugins that come with the broker known.
func (b *Broker) registerBuiltins(ctx context.Context) error {
	for _, m := range builtin.Modules() {
		manifest, d, err := b.registry.Check(ctx, m.Bytes)
		if err != nil {
			return fmt.Errorf("built-in plugin %s: %w", m.Name, err)
		}
		if p, ok := b.node.Image().Plugin(builtin.NamePrefix+m.Name, manifest.Version); ok && p.Digest == d {
			continue
		}
		if _, err := b.putPlugin(ctx, builtin.NamePrefix+m.Name, manifest, d, len(m.Bytes)); err != nil {
			return fmt.Errorf("built-in plugin %s: %w", m.Name, err)
		}
	}
	return nil
}
