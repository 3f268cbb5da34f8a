package metadata

import (
	"bytes"
	"fmt"
	"slices"
)

func (c PutPlugin) apply(ch *change) error {
	if c.Name == "" || len(c.Name) > MaxName || c.Version == "" || len(c.Version) > MaxName ||
		c.Size < 1 || c.Digest == [32]byte{} || len(c.Spec) > MaxSpec {
		return fmt.Errorf("put plugin: %w: %.260q version %.260q", ErrInvalidPlugin, c.Name, c.Version)
	}
	key := pluginKey{c.Name, c.Version}
	previous, ok := ch.next.plugins.get(key)
	changed := ch.next.pluginsRemoved
	if ok {
		changed = previous.ChangedAt
	}
	if err := conflict(c, changed); err != nil {
		return fmt.Errorf("put plugin %s %s: %w", c.Name, c.Version, err)
	}
	if ok && previous.Digest == c.Digest && previous.Size == c.Size && bytes.Equal(previous.Spec, c.Spec) {
		return nil
	}
	if !ok && ch.next.plugins.size >= MaxPlugins {
		return fmt.Errorf("put plugin %s %s: %w: %d versions", c.Name, c.Version, ErrLimit, MaxPlugins)
	}
	p := &Plugin{Name: c.Name, Version: c.Version, Digest: c.Digest, Size: c.Size, Spec: c.Spec, ChangedAt: ch.index}
	ch.next.plugins = ch.next.plugins.with(key, p)
	ch.emit(PluginChanged{Plugin: p, Previous: previous})
	ch.pluginChanged(c.Name, c.Version)
	return nil
}

func (c DeletePlugin) apply(ch *change) error {
	key := pluginKey{c.Name, c.Version}
	p, ok := ch.next.plugins.get(key)
	if !ok {
		return fmt.Errorf("delete plugin: %w: %.260q version %.260q", ErrUnknownPlugin, c.Name, c.Version)
	}
	if err := conflict(c, p.ChangedAt); err != nil {
		return fmt.Errorf("delete plugin %s %s: %w", c.Name, c.Version, err)
	}
	others := 0
	for q := range ch.next.Plugins() {
		if q.Name == c.Name {
			others++
		}
	}
	for s := range ch.next.Stages() {
		if s.uses(c.Name, c.Version) && (s.PluginVersion != "" || others == 1) {
			return fmt.Errorf("delete plugin %s %s: %w: %s", c.Name, c.Version, ErrPluginInUse, s.Name)
		}
	}
	ch.next.plugins = ch.next.plugins.without(key)
	ch.next.pluginsRemoved = ch.index
	ch.emit(PluginChanged{Previous: p})
	ch.pluginChanged(c.Name, c.Version)
	return nil
}

func (c PutStage) apply(ch *change) error {
	if !validStageName(c.Name) || len(c.Plugin) > MaxName || len(c.PluginVersion) > MaxName || len(c.Spec) > MaxSpec ||
		c.Plugin == "" && c.PluginVersion != "" {
		return fmt.Errorf("put stage: %w: %.260q", ErrInvalidStage, c.Name)
	}
	previous, ok := ch.next.stages.get(c.Name)
	changed := ch.next.stagesRemoved
	if ok {
		changed = previous.Version
	}
	if err := conflict(c, changed); err != nil {
		return fmt.Errorf("put stage %s: %w", c.Name, err)
	}
	if ok && previous.Plugin == c.Plugin && previous.PluginVersion == c.PluginVersion && bytes.Equal(previous.Spec, c.Spec) {
		return nil
	}
	if !ok && ch.next.stages.size >= MaxStages {
		return fmt.Errorf("put stage %s: %w: %d stages", c.Name, ErrLimit, MaxStages)
	}
	s := &Stage{Name: c.Name, Plugin: c.Plugin, PluginVersion: c.PluginVersion, Spec: c.Spec, Version: ch.index}
	ch.next.stages = ch.next.stages.with(c.Name, s)
	ch.emit(StageChanged{Stage: s, Previous: previous})
	ch.stagesChanged([]string{c.Name})
	return nil
}

func (c DeleteStage) apply(ch *change) error {
	s, ok := ch.next.stages.get(c.Name)
	if !ok {
		return fmt.Errorf("delete stage: %w: %.260q", ErrUnknownStage, c.Name)
	}
	if err := conflict(c, s.Version); err != nil {
		return fmt.Errorf("delete stage %s: %w", c.Name, err)
	}
	for t := range ch.next.Topics() {
		if slices.Contains(t.chain, c.Name) {
			return fmt.Errorf("delete stage %s: %w: %s", c.Name, ErrStageInUse, t.Name)
		}
	}
	ch.next.stages = ch.next.stages.without(c.Name)
	ch.next.stagesRemoved = ch.index
	ch.emit(StageChanged{Previous: s})
	return nil
}

// pluginChanged raises the chain generation of all topics whose chain names a
// stage that may run this plugin version.
func (c *change) pluginChanged(name, version string) {
	var stages []string
	for s := range c.next.Stages() {
		if s.uses(name, version) {
			stages = append(stages, s.Name)
		}
	}
	c.stagesChanged(stages)
}

// stagesChanged raises the chain generation of all topics whose chain names one
// of the stages, which ascend. It walks all topics: such commands are rare.
func (c *change) stagesChanged(stages []string) {
	if len(stages) == 0 {
		return
	}
	named := func(stage string) bool {
		_, ok := slices.BinarySearch(stages, stage)
		return ok
	}
	// The walk is over the tree as it was: putting topics makes new trees.
	for t := range c.next.Topics() {
		if !slices.ContainsFunc(t.chain, named) {
			continue
		}
		next := *t
		next.ChainGeneration = c.index
		c.next.byName = c.next.byName.with(next.Name, &next)
		c.next.byID = c.next.byID.with(next.ID, &next)
		c.emit(ChainChanged{Topic: &next})
	}
}
