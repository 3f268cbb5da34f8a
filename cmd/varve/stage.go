package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/admin"
	"github.com/varvelog/varve/plugins"
)

func stageCommand() *cli.Command {
	return group("stage", "named uses of plugins, shared by any number of topics",
		`A stage is a plugin with parameters and a failure policy, under a name. The
ordered stages of a topic are its chain (varve chain). For a stage of one topic
`+"`varve plugin attach`"+` does both steps.`,
		verb(&cli.Command{
			Name: "set", Usage: "make a stage, or change one in all topics that use it", ArgsUsage: "NAME",
			Description: `The plugin must exist and accept the parameters; else nothing changes. Every
field of the specification can be given with --file, some as flags.

Examples:
   varve stage set redact-email --plugin builtin/redact --hook transform \
         --parameters '{"fields": ["email"]}' --on-failure dead-letter
   varve stage set orders-only --plugin builtin/filter --hook transform --parameters @orders-only.json
   varve stage set redact-email --file redact-email.json`,
			Flags: clientFlags(append([]cli.Flag{
				&cli.StringFlag{Name: "plugin", Usage: "`NAME` or NAME@VERSION of the plugin"},
				&cli.StringFlag{Name: "version", Usage: "the plugin's `VERSION` (default: the newest)"},
				&cli.StringFlag{Name: "file", Usage: "read the whole specification from a JSON `FILE`, - for stdin"},
			}, specFlags("which `HOOK` of the plugin to call: transform or validate")...)...),
			Action: stageSet,
		}),
		verb(&cli.Command{
			Name: "list", Usage: "list all stages and the topics that use them", ArgsUsage: " ",
			Description: "Examples:\n   varve stage list\n   varve stage list --output json",
			Flags:       clientFlags(), Action: stageList,
		}),
		verb(&cli.Command{
			Name: "describe", Usage: "show a stage's specification", ArgsUsage: "NAME",
			Description: "Examples:\n   varve stage describe redact-email\n   varve stage describe redact-email --output json",
			Flags:       clientFlags(), Action: stageDescribe,
		}),
		verb(&cli.Command{
			Name: "delete", Usage: "delete a stage that no chain names", ArgsUsage: "NAME",
			Description: "Examples:\n   varve stage delete redact-email",
			Flags:       clientFlags(), Action: stageDelete,
		}),
	)
}

// open is what every command of the HTTP interface begins with.
func open(c *cli.Context, names ...string) (*client, output, []string, error) {
	args, err := arguments(c, names...)
	if err != nil {
		return nil, output{}, nil, err
	}
	out, err := newOutput(c)
	if err != nil {
		return nil, output{}, nil, err
	}
	cl, err := newClient(c)
	return cl, out, args, err
}

// checkStageName refuses names before anything is asked of the broker.
func checkStageName(name string) error {
	err := plugins.CheckStageName(name)
	if name == "." || name == ".." { // an address cannot hold them
		err = fmt.Errorf("a stage cannot be named %q", name)
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

func stageSet(c *cli.Context) error {
	cl, out, args, err := open(c, "NAME")
	if err != nil {
		return err
	}
	if err := checkStageName(args[0]); err != nil {
		return err
	}
	spec, err := stageSpecOf(c)
	if err != nil {
		return err
	}
	s, err := cl.putStage(args[0], spec)
	if err != nil {
		return err
	}
	return printStage(out, s)
}

// stageSpecOf takes the specification from --file, as it is, or from flags.
func stageSpecOf(c *cli.Context) ([]byte, error) {
	file := c.String("file")
	flag, given := specGiven(c)
	switch {
	case file != "" && given:
		return nil, usageError{fmt.Errorf("--file holds the whole specification; leave out --%s, or --file", flag)}
	case file != "":
		b, err := readInput(c, file, plugins.MaxSpecBytes)
		if err != nil {
			return nil, usageError{fmt.Errorf("read --file: %w", err)}
		}
		return b, nil
	case !given:
		return nil, usageError{errors.New("a specification is missing; give --plugin and --hook, or --file SPEC.json")}
	}
	plugin, err := needed(c, "plugin")
	if err != nil {
		return nil, err
	}
	hook, err := needed(c, "hook")
	if err != nil {
		return nil, err
	}
	name, version, err := splitVersion(plugin)
	if err != nil {
		return nil, err
	}
	if v := c.String("version"); v != "" {
		if version != "" && version != v {
			return nil, usageError{fmt.Errorf("--plugin %s and --version %s contradict each other", plugin, v)}
		}
		version = v
	}
	return specOf(c, name, version, hook)
}

func stageList(c *cli.Context) error {
	cl, out, _, err := open(c)
	if err != nil {
		return err
	}
	list, err := cl.stages()
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "PLUGIN", "VERSION", "HOOK", "ON-FAILURE", "TOPICS"}}
	for _, s := range list {
		v := viewSpec(s)
		rows = append(rows, []string{s.Name, v.Plugin, newest(v.Version), v.Hook, v.OnFailure, strings.Join(s.Topics, ",")})
	}
	return out.print(list, rows...)
}

func newest(version string) string {
	if version == "" {
		return "newest"
	}
	return version
}

// viewSpec reads what is shown of a specification. Fields that a newer broker
// has are left to --output json.
func viewSpec(s admin.Stage) (v stageSpec) {
	if json.Unmarshal(s.Spec, &v) != nil {
		return stageSpec{}
	}
	return v
}

func stageDescribe(c *cli.Context) error {
	cl, out, args, err := open(c, "NAME")
	if err != nil {
		return err
	}
	s, found, err := cl.findStage(args[0])
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("not found: stage %s; `varve stage list` shows what there is, `varve stage set` makes one", args[0])
	}
	return printStage(out, s)
}

func printStage(out output, s admin.Stage) error {
	v := viewSpec(s)
	rows := [][]string{
		{"name", s.Name},
		{"plugin", v.Plugin},
		{"version", newest(v.Version)},
		{"hook", v.Hook},
		{"parameters", compact(v.Parameters)},
		{"on failure", v.OnFailure},
		{"sensitive", strconv.FormatBool(v.Sensitive)},
	}
	if d := v.DeadLetter; d != nil {
		topic := d.Topic
		if topic == "" {
			topic = plugins.DeadLetterPrefix + "TOPIC"
		}
		rows = append(rows, []string{"dead letters", topic + ", payload " + d.Payload})
	}
	if b := v.Breaker; b != nil && b.Ratio > 0 {
		rows = append(rows, []string{"breaker", fmt.Sprintf("%v of %d records", b.Ratio, b.Window)})
	}
	return out.print(s, append(rows, []string{"topics", strings.Join(s.Topics, ",")})...)
}

func stageDelete(c *cli.Context) error {
	cl, out, args, err := open(c, "NAME")
	if err != nil {
		return err
	}
	if err := checkStageName(args[0]); err != nil {
		return err
	}
	if err := cl.deleteStage(args[0]); err != nil {
		if refused(err, http.StatusConflict) {
			err = fmt.Errorf("%w; `varve plugin detach` takes it out of a chain, `varve stage list` shows the topics", err)
		}
		return err
	}
	out.note("stage %s is deleted", args[0])
	return nil
}
