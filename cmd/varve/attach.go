package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/plugins"
)

func attachCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "attach", Usage: "let the records of a topic pass a plugin", ArgsUsage: "PLUGIN[@VERSION]",
		Description: `Makes a stage of the plugin and appends it to the topic's chain. It returns when
every partition runs it; a stage that does not start changes nothing. If the
chain has the stage already, its parameters and policy are replaced. Without a
version the stage uses the newest.

Examples:
   varve plugin attach mask --topic orders
   varve plugin attach builtin/redact --topic orders --parameters '{"fields": ["email"]}' \
         --on-failure dead-letter --sensitive
   varve plugin attach builtin/filter --topic orders --stage orders-only --parameters @orders-only.json`,
		Flags: clientFlags(append([]cli.Flag{
			&cli.StringFlag{Name: "topic", Usage: "`TOPIC` whose records pass the plugin"},
			&cli.StringFlag{Name: "stage", Usage: "`NAME` of the stage (default: PLUGIN-TOPIC, of the plugin's name what is behind its last /)"},
		}, specFlags("which `HOOK` of the plugin to call: transform or validate (default: the plugin's first)")...)...),
		Action: pluginAttach,
	})
}

func pluginAttach(c *cli.Context) error {
	cl, out, args, err := open(c, "PLUGIN[@VERSION]")
	if err != nil {
		return err
	}
	topic, err := needed(c, "topic")
	if err != nil {
		return err
	}
	plugin, version, err := splitVersion(args[0])
	if err != nil {
		return err
	}
	stage, err := attachedName(c, plugin, topic)
	if err != nil {
		return err
	}
	before, err := cl.chain(topic)
	if err != nil {
		return err
	}
	hook, err := cl.chooseHook(plugin, version, c.String("hook"))
	if err != nil {
		return err
	}
	spec, err := specOf(c, plugin, version, hook)
	if err != nil {
		return err
	}
	if err := cl.checkShared(stage, topic, spec); err != nil {
		return err
	}
	if _, err := cl.putStage(stage, spec); err != nil {
		return err
	}
	stages := before.Stages
	if !slices.Contains(stages, stage) {
		stages = append(stages, stage)
	}
	// Also where the chain has it already: the answer comes when it is in force.
	after, err := cl.setChain(topic, stages)
	if err != nil {
		return fmt.Errorf("stage %s is set, but the chain of %s is not as asked: %w", stage, topic, err)
	}
	return printChain(out, after)
}

// attachedName returns the name of the stage that attach makes.
func attachedName(c *cli.Context, plugin, topic string) (string, error) {
	name := c.String("stage")
	if name == "" {
		name = path.Base(plugin) + "-" + topic
		if plugins.CheckStageName(name) != nil {
			return "", usageError{fmt.Errorf("%.200q cannot be a stage's name; give one with --stage", name)}
		}
	}
	return name, checkStageName(name)
}

// chooseHook returns the hook that is asked for if a version of the plugin has
// it, or the one that all versions name first.
func (c *client) chooseHook(plugin, version, asked string) (string, error) {
	found, err := c.findPlugins(plugin, version)
	if err != nil {
		return "", err
	}
	hook, all := "", []string{}
	for _, p := range found {
		all = append(all, p.Hooks...)
		if asked != "" {
			continue
		}
		switch {
		case len(p.Hooks) == 0:
			return "", usageError{fmt.Errorf("plugin %s@%s names no hooks; give one with --hook", p.Name, p.Version)}
		case hook != "" && p.Hooks[0] != hook:
			return "", usageError{fmt.Errorf("the versions of plugin %s have different hooks; give one with --hook, or a version: %s@%s", plugin, plugin, p.Version)}
		}
		hook = p.Hooks[0]
	}
	if asked != "" && len(all) > 0 && !slices.Contains(all, asked) {
		return "", usageError{fmt.Errorf("plugin %s has no hook %q; it has %s", plugin, asked, strings.Join(slices.Compact(slices.Sorted(slices.Values(all))), ", "))}
	}
	return cmp.Or(asked, hook), nil
}

// checkShared refuses to change a stage behind the back of other topics.
func (c *client) checkShared(stage, topic string, spec []byte) error {
	s, found, err := c.findStage(stage)
	if err != nil || !found {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(s.Topics), func(t string) bool { return t == topic })
	if len(others) == 0 || sameSpec(s.Spec, spec) {
		return nil
	}
	return fmt.Errorf("stage %s is also in the chain of %s and would change there; choose another name with --stage, or change it for all with `varve stage set`",
		stage, strings.Join(others, ", "))
}

// sameSpec compares specifications with all defaults filled in.
func sameSpec(a, b []byte) bool {
	x, err1 := plugins.ParseStage(a)
	y, err2 := plugins.ParseStage(b)
	if err1 != nil || err2 != nil {
		return false
	}
	var v, w any
	return json.Unmarshal(x.JSON(), &v) == nil && json.Unmarshal(y.JSON(), &w) == nil && reflect.DeepEqual(v, w)
}

func detachCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "detach", Usage: "take a stage out of a topic's chain", ArgsUsage: "STAGE",
		Description: `It returns when every partition runs the chain without it. A stage that is in no
other topic's chain is deleted, unless --keep-stage. The plugin remains.

Examples:
   varve plugin detach redact-orders --topic orders
   varve plugin detach orders-only --topic orders --keep-stage`,
		Flags: clientFlags(
			&cli.StringFlag{Name: "topic", Usage: "`TOPIC` whose chain has the stage"},
			&cli.BoolFlag{Name: "keep-stage", Usage: "do not delete the stage"},
		),
		Action: pluginDetach,
	})
}

func pluginDetach(c *cli.Context) error {
	cl, out, args, err := open(c, "STAGE")
	if err != nil {
		return err
	}
	topic, err := needed(c, "topic")
	if err != nil {
		return err
	}
	stage := args[0]
	before, err := cl.chain(topic)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(before.Stages), func(s string) bool { return s == stage })
	switch {
	case len(before.Stages) == 0:
		return fmt.Errorf("topic %s has no chain, so stage %s is not in it", topic, stage)
	case len(left) == len(before.Stages):
		return fmt.Errorf("stage %s is not in the chain of %s; it has %s", stage, topic, strings.Join(before.Stages, ", "))
	}
	after, err := cl.setChain(topic, left)
	if err != nil {
		return err
	}
	if !c.Bool("keep-stage") {
		if err := deleteUnused(cl, out, stage); err != nil {
			return fmt.Errorf("stage %s is taken out of the chain of %s, but not deleted: %w", stage, topic, err)
		}
	}
	return printChain(out, after)
}

// deleteUnused deletes a stage that no chain names.
func deleteUnused(cl *client, out output, stage string) error {
	s, found, err := cl.findStage(stage)
	if err != nil || !found {
		return err
	}
	if len(s.Topics) > 0 {
		out.note("stage %s is kept: it is also in the chain of %s", stage, strings.Join(s.Topics, ", "))
		return nil
	}
	switch err := cl.deleteStage(stage); {
	case err == nil:
		out.note("stage %s is deleted: it was in no other chain", stage)
	case refused(err, http.StatusConflict): // another chain took it just now
		out.note("stage %s is kept: %v", stage, err)
	case !refused(err, http.StatusNotFound):
		return err
	}
	return nil
}
