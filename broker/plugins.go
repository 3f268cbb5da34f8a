package broker

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/plugins"
	"github.com/varvelog/varve/plugins/builtin"
	"github.com/varvelog/varve/plugins/registry"
	"github.com/varvelog/varve/wasm"
	"github.com/varvelog/varve/wasm/abi"
)

// pluginAdmin is the broker's plugins, stages and chains as the HTTP interface
// sees them.
type pluginAdmin struct{ *Broker }

var _ admin.Broker = pluginAdmin{}

func (b pluginAdmin) Ready() bool { return backend{b.Broker}.Ready() }

// Failure implements admin.Broker.
func (b pluginAdmin) Failure() error {
	if err := b.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// PushPlugin implements admin.Broker.
func (b pluginAdmin) PushPlugin(ctx context.Context, module []byte) (admin.Plugin, error) {
	m, d, err := b.registry.Check(ctx, module)
	if err != nil {
		return admin.Plugin{}, moduleError(err)
	}
	if strings.HasPrefix(m.Name, builtin.NamePrefix) {
		return admin.Plugin{}, fmt.Errorf("%w: the name %s belongs to the broker; choose another in the manifest", admin.ErrInvalid, m.Name)
	}
	if err := b.modules.Put(ctx, module); err != nil {
		return admin.Plugin{}, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	p, err := b.putPlugin(ctx, m.Name, m, d, len(module))
	if err != nil {
		return admin.Plugin{}, err
	}
	return describePlugin(p), nil
}

// putPlugin registers a module under a name.
func (b *Broker) putPlugin(ctx context.Context, name string, m abi.Manifest, d registry.Digest, size int) (*metadata.Plugin, error) {
	spec, err := json.Marshal(pluginSpec(m))
	if err != nil {
		return nil, err
	}
	r, err := b.command(ctx, metadata.PutPlugin{Name: name, Version: m.Version, Digest: d, Size: int64(size), Spec: spec})
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, commandError(err)
	}
	p, ok := b.node.Image().Plugin(name, m.Version)
	if !ok {
		return nil, fmt.Errorf("%w: plugin %s %s was deleted meanwhile", admin.ErrConflict, name, m.Version)
	}
	return p, nil
}

// pluginNotes is what the metadata keeps of a manifest, for people.
type pluginNotes struct {
	Hooks       []string        `json:"hooks"`
	Parts       []string        `json:"parts"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

func pluginSpec(m abi.Manifest) pluginNotes {
	n := pluginNotes{Description: m.Description, Parameters: m.Parameters}
	for _, h := range m.Hooks {
		n.Hooks = append(n.Hooks, h.String())
	}
	for _, p := range []struct {
		bit  abi.Parts
		name string
	}{{abi.PartKey, "key"}, {abi.PartValue, "value"}, {abi.PartHeaders, "headers"}, {abi.PartTimestamp, "timestamp"}} {
		if m.Parts&p.bit != 0 {
			n.Parts = append(n.Parts, p.name)
		}
	}
	return n
}

func describePlugin(p *metadata.Plugin) admin.Plugin {
	out := admin.Plugin{Name: p.Name, Version: p.Version, Digest: hex.EncodeToString(p.Digest[:]), Size: p.Size,
		Builtin: strings.HasPrefix(p.Name, builtin.NamePrefix)}
	var n pluginNotes
	if err := json.Unmarshal(p.Spec, &n); err == nil { // written by putPlugin
		out.Hooks, out.Parts, out.Description, out.Parameters = n.Hooks, n.Parts, n.Description, n.Parameters
	}
	return out
}

// Plugins implements admin.Broker.
func (b pluginAdmin) Plugins(ctx context.Context) (out []admin.Plugin) {
	b.settle(ctx)
	for p := range b.node.Image().Plugins() {
		out = append(out, describePlugin(p))
	}
	return out
}

// settle waits for the built-in plugins of a broker that started just now, whose
// compilation takes a moment.
func (b pluginAdmin) settle(ctx context.Context) {
	select {
	case <-b.builtins:
	case <-ctx.Done():
	}
}

// DeletePlugin implements admin.Broker.
func (b pluginAdmin) DeletePlugin(ctx context.Context, name, version string) error {
	return b.change(ctx, metadata.DeletePlugin{Name: name, Version: version})
}

func (b pluginAdmin) change(ctx context.Context, c metadata.Command) error {
	r, err := b.command(ctx, c)
	if err == nil {
		err = r.Err
	}
	return commandError(err)
}

// PutStage implements admin.Broker. The stage's plugin must exist and accept the
// parameters, which is tried before anything is changed.
func (b pluginAdmin) PutStage(ctx context.Context, name string, spec []byte) (admin.Stage, error) {
	if err := plugins.CheckStageName(name); err != nil {
		return admin.Stage{}, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	s, err := plugins.ParseStage(spec)
	if err != nil {
		return admin.Stage{}, fmt.Errorf("%w: stage %s: %w", admin.ErrInvalid, name, err)
	}
	b.settle(ctx)
	p, err := findPlugin(b.node.Image(), s.Plugin, s.Version)
	if err != nil {
		return admin.Stage{}, err
	}
	if _, _, err := b.registry.Stage(ctx, name, s, p.Digest); err != nil {
		return admin.Stage{}, moduleError(err)
	}
	if err := b.change(ctx, metadata.PutStage{Name: name, Plugin: s.Plugin, PluginVersion: s.Version, Spec: s.JSON()}); err != nil {
		return admin.Stage{}, err
	}
	return admin.Stage{Name: name, Spec: s.JSON(), Topics: b.topicsOf(name)}, nil
}

// findPlugin returns a plugin's version, the newest one if none is asked for.
func findPlugin(img *metadata.Image, name, version string) (*metadata.Plugin, error) {
	var found *metadata.Plugin
	for p := range img.Plugins() {
		if p.Name == name && (version == "" || p.Version == version) && (found == nil || p.ChangedAt > found.ChangedAt) {
			found = p
		}
	}
	if found == nil {
		what := name
		if version != "" {
			what += " version " + version
		}
		return nil, fmt.Errorf("%w: plugin %s; `varve plugin list` shows what there is, `varve plugin push FILE` adds one", admin.ErrNotFound, what)
	}
	return found, nil
}

func (b pluginAdmin) topicsOf(stage string) (topics []string) {
	for t := range b.node.Image().Topics() {
		for _, s := range t.Chain() {
			if s == stage {
				topics = append(topics, t.Name)
				break
			}
		}
	}
	return topics
}

// Stages implements admin.Broker.
func (b pluginAdmin) Stages() (out []admin.Stage) {
	for s := range b.node.Image().Stages() {
		out = append(out, admin.Stage{Name: s.Name, Spec: s.Spec, Topics: b.topicsOf(s.Name)})
	}
	return out
}

// DeleteStage implements admin.Broker.
func (b pluginAdmin) DeleteStage(ctx context.Context, name string) error {
	return b.change(ctx, metadata.DeleteStage{Name: name})
}

// Chain implements admin.Broker.
func (b pluginAdmin) Chain(topic string) (admin.Chain, error) {
	t, ok := b.node.Image().Topic(topic)
	if !ok {
		return admin.Chain{}, fmt.Errorf("%w: topic %s", admin.ErrNotFound, topic)
	}
	return admin.Chain{Topic: topic, Stages: append([]string{}, t.Chain()...), Generation: t.ChainGeneration}, nil
}

// SetChain implements admin.Broker. It returns when every partition on this
// broker runs the chain.
func (b pluginAdmin) SetChain(ctx context.Context, topic string, stages []string) (admin.Chain, error) {
	img := b.node.Image()
	t, ok := img.Topic(topic)
	if !ok {
		return admin.Chain{}, fmt.Errorf("%w: topic %s", admin.ErrNotFound, topic)
	}
	if t.Internal {
		return admin.Chain{}, fmt.Errorf("%w: %s is internal and cannot have a chain", admin.ErrInvalid, topic)
	}
	c := metadata.SetTopicConfigs{TopicID: t.ID}
	if len(stages) == 0 {
		c.Remove = []string{metadata.ChainConfig}
	} else {
		list := strings.Join(stages, ",")
		if _, err := plugins.ParseChain(list); err != nil {
			return admin.Chain{}, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
		}
		for _, name := range stages {
			s, ok := img.Stage(name)
			if !ok {
				return admin.Chain{}, fmt.Errorf("%w: stage %s; `varve stage set` makes one", admin.ErrNotFound, name)
			}
			spec, err := plugins.ParseStage(s.Spec)
			if err == nil {
				err = spec.CheckTopic(topic)
			}
			if err != nil {
				return admin.Chain{}, fmt.Errorf("%w: stage %s: %w", admin.ErrInvalid, name, err)
			}
		}
		c.Set = []metadata.KV{{Name: metadata.ChainConfig, Value: list}}
	}
	if err := b.change(ctx, c); err != nil {
		return admin.Chain{}, err
	}
	if err := b.awaitChain(ctx, topic); err != nil {
		return admin.Chain{}, err
	}
	return b.Chain(topic)
}

// moduleError says whether a module or a stage is at fault, or the broker.
func moduleError(err error) error {
	var refused *wasm.ConfigureError
	switch {
	case errors.Is(err, wasm.ErrMemory), errors.Is(err, wasm.ErrClosed), errors.Is(err, wasm.ErrPlatform), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	case errors.Is(err, wasm.ErrModule), errors.Is(err, wasm.ErrStart), errors.Is(err, wasm.ErrCapability), errors.Is(err, registry.ErrHook), errors.As(err, &refused):
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	return err
}

// commandError gives a metadata refusal its HTTP meaning.
func commandError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, metadata.ErrUnknownPlugin), errors.Is(err, metadata.ErrUnknownStage), errors.Is(err, metadata.ErrUnknownTopic):
		return fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	case errors.Is(err, metadata.ErrConflict), errors.Is(err, metadata.ErrPluginInUse), errors.Is(err, metadata.ErrStageInUse):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	case errors.Is(err, metadata.ErrInvalidPlugin), errors.Is(err, metadata.ErrInvalidStage), errors.Is(err, metadata.ErrInvalidConfig),
		errors.Is(err, metadata.ErrLimit), errors.Is(err, metadata.ErrBound):
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
}
