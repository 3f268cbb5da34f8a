package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/plugins/builtin"
)

const (
	builtinPrefix = builtin.NamePrefix
	// moduleBytesMax is the broker's bound on a module.
	moduleBytesMax = 16 << 20
)

// moduleMagic begins every WebAssembly module.
var moduleMagic = []byte("\x00asm")

func pluginCommand() *cli.Command {
	return group("plugin", "WebAssembly plugins that records pass on their way into a topic",
		`A plugin is a WebAssembly module with a name and a version. builtin/redact and
builtin/filter come with the broker; docs/plugins tells how to write one.`,
		verb(&cli.Command{
			Name: "push", Usage: "give a module to the broker, which checks, compiles and keeps it", ArgsUsage: "FILE",
			Description: `Name, version and hooks stand in the module's manifest. Pushing the same module
again changes nothing; another one with the same name and version takes its place
in all stages that use it.

Examples:
   varve plugin push mask.wasm
   varve plugin push mask.wasm && varve plugin attach mask --topic orders`,
			Flags: clientFlags(), Action: pluginPush,
		}),
		attachCommand(),
		detachCommand(),
		verb(&cli.Command{
			Name: "list", Usage: "list all versions of all plugins", ArgsUsage: " ",
			Description: "Examples:\n   varve plugin list\n   varve plugin list --output json",
			Flags:       clientFlags(), Action: pluginList,
		}),
		verb(&cli.Command{
			Name: "describe", Usage: "show what a plugin's manifest says", ArgsUsage: "NAME[@VERSION]",
			Description: `Without a version all versions are shown. JSON is always a list.

Examples:
   varve plugin describe builtin/redact
   varve plugin describe mask@1.0.0 --output json`,
			Flags: clientFlags(), Action: pluginDescribe,
		}),
		verb(&cli.Command{
			Name: "delete", Usage: "delete a version of a plugin that no stage names", ArgsUsage: "NAME@VERSION",
			Description: "Examples:\n   varve plugin delete mask@1.0.0",
			Flags:       clientFlags(), Action: pluginDelete,
		}),
	)
}

func pluginPush(c *cli.Context) error {
	cl, out, args, err := open(c, "FILE")
	if err != nil {
		return err
	}
	module, err := readInput(c, args[0], moduleBytesMax)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return usageError{fmt.Errorf("%w; FILE is a .wasm file that your compiler wrote", err)}
	case err != nil:
		return usageError{fmt.Errorf("read the module: %w", err)}
	case !bytes.HasPrefix(module, moduleMagic):
		return usageError{fmt.Errorf("%s is not a WebAssembly module; FILE is a .wasm file that your compiler wrote", args[0])}
	}
	out.note("pushing %s (%d KiB): the broker checks and compiles it, which may take some seconds", args[0], (len(module)+1023)/1024)
	p, err := cl.pushPlugin(module)
	if err != nil {
		return err
	}
	if err := out.print(p, pluginRows(p)...); err != nil {
		return err
	}
	if !out.json {
		out.note("next: varve plugin attach %s --topic TOPIC", p.Name)
	}
	return nil
}

func pluginList(c *cli.Context) error {
	cl, out, _, err := open(c)
	if err != nil {
		return err
	}
	list, err := cl.plugins()
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "VERSION", "HOOKS", "PARTS", "BYTES", "DIGEST"}}
	for _, p := range list {
		rows = append(rows, []string{p.Name, p.Version, strings.Join(p.Hooks, ","), strings.Join(p.Parts, ","),
			strconv.FormatInt(p.Size, 10), p.Digest[:min(12, len(p.Digest))]})
	}
	return out.print(list, rows...)
}

func pluginRows(p admin.Plugin) [][]string {
	rows := [][]string{
		{"name", p.Name},
		{"version", p.Version},
		{"description", p.Description},
		{"hooks", strings.Join(p.Hooks, ",")},
		{"parts", strings.Join(p.Parts, ",")},
		{"bytes", strconv.FormatInt(p.Size, 10)},
		{"digest", p.Digest},
	}
	return append(rows, parameterRows(p.Parameters)...)
}

// parameterRows shows the properties of a JSON Schema by name, one a line, and
// any other schema as it is.
func parameterRows(schema json.RawMessage) [][]string {
	var s struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Description string `json:"description"`
		} `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil || len(s.Properties) == 0 {
		return [][]string{{"parameters", compact(schema)}}
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		text := s.Properties[name].Description
		if kind, ok := s.Properties[name].Type.(string); ok {
			text = strings.TrimSuffix(kind+": "+text, ": ")
		}
		rows = append(rows, []string{"parameter " + name, text})
	}
	return rows
}

// splitVersion takes NAME@VERSION apart. No name and no version has an @.
func splitVersion(arg string) (name, version string, err error) {
	name, version, given := strings.Cut(arg, "@")
	if name == "" || given && version == "" {
		return "", "", usageError{fmt.Errorf("%q names no plugin; write NAME or NAME@VERSION", arg)}
	}
	return name, version, nil
}

// findPlugins returns the versions of a plugin, or the one that is asked for.
// There is at least one.
func (c *client) findPlugins(name, version string) ([]admin.Plugin, error) {
	list, err := c.plugins()
	if err != nil {
		return nil, err
	}
	var found []admin.Plugin
	var versions []string
	for _, p := range list {
		if p.Name != name {
			continue
		}
		versions = append(versions, p.Version)
		if version == "" || p.Version == version {
			found = append(found, p)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(versions) > 0:
		return nil, fmt.Errorf("not found: plugin %s@%s; there is %s", name, version, strings.Join(versions, ", "))
	case strings.HasPrefix(name, builtinPrefix):
		return nil, fmt.Errorf("not found: plugin %s; `varve plugin list` shows what there is; a broker that started just now is still compiling its own", name)
	}
	return nil, fmt.Errorf("not found: plugin %s; `varve plugin list` shows what there is, `varve plugin push FILE` adds one", name)
}

func pluginDescribe(c *cli.Context) error {
	cl, out, args, err := open(c, "NAME[@VERSION]")
	if err != nil {
		return err
	}
	name, version, err := splitVersion(args[0])
	if err != nil {
		return err
	}
	found, err := cl.findPlugins(name, version)
	if err != nil {
		return err
	}
	if out.json {
		return out.encode(found)
	}
	for i, p := range found {
		if i > 0 {
			fmt.Fprintln(out.data)
		}
		if err := out.print(p, pluginRows(p)...); err != nil {
			return err
		}
	}
	return nil
}

func pluginDelete(c *cli.Context) error {
	cl, out, args, err := open(c, "NAME@VERSION")
	if err != nil {
		return err
	}
	name, version, err := splitVersion(args[0])
	if err != nil {
		return err
	}
	if version == "" {
		return usageError{fmt.Errorf("say which version to delete: %s@VERSION; `varve plugin describe %s` shows them", name, name)}
	}
	if err := cl.deletePlugin(name, version); err != nil {
		if refused(err, http.StatusConflict) {
			err = fmt.Errorf("%w; `varve stage list` shows the stages that use it", err)
		}
		return err
	}
	out.note("plugin %s@%s is deleted", name, version)
	return nil
}
