package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// verb completes a command that has no commands below it.
func verb(c *cli.Command) *cli.Command {
	c.HideHelpCommand = true // else an argument "help" would be taken for a command
	c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	return c
}

// group makes a command that only has commands below it.
func group(name, usage, description string, verbs ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Description: description, ArgsUsage: "COMMAND", Subcommands: verbs, HideHelpCommand: true,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return cli.ShowSubcommandHelp(c)
			}
			names := make([]string, len(verbs))
			for i, v := range verbs {
				names[i] = v.Name
			}
			return usageError{fmt.Errorf("unknown command %q; varve %s has %s", c.Args().First(), name, strings.Join(names, ", "))}
		},
	}
}

// arguments returns the arguments of a command, which must be as many as there
// are names.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	args := c.Args().Slice()
	for i, n := range names {
		if i >= len(args) || args[i] == "" {
			return nil, usageError{fmt.Errorf("%s is missing; usage: %s %s", n, c.Command.HelpName, c.Command.ArgsUsage)}
		}
	}
	if len(args) > len(names) {
		return nil, usageError{fmt.Errorf("unexpected argument %q; usage: %s %s", args[len(names)], c.Command.HelpName, strings.TrimSpace(c.Command.ArgsUsage))}
	}
	return args, nil
}

// needed returns the value of a flag that must be given.
func needed(c *cli.Context, flag string) (string, error) {
	v := c.String(flag)
	if v == "" {
		return "", usageError{fmt.Errorf("%s needs --%s; `%s --help` shows an example", c.Command.HelpName, flag, c.Command.HelpName)}
	}
	return v, nil
}

// permute moves the flags of a command before its other arguments, so that they
// may stand in any order; the flag parser stops at the first argument. What
// follows "--" is never a flag.
func permute(a *cli.App, argv []string) []string {
	if len(argv) == 0 || argv[len(argv)-1] == "--generate-bash-completion" {
		return argv
	}
	var cmd *cli.Command
	commands, i := a.Commands, 1
	for ; i < len(argv); i++ {
		c := findCommand(commands, argv[i])
		if c == nil {
			break
		}
		cmd, commands = c, c.Subcommands
	}
	if cmd == nil || len(cmd.Subcommands) > 0 {
		return argv
	}
	out, rest := append([]string{}, argv[:i]...), []string{"--"}
	for ; i < len(argv); i++ {
		arg := argv[i]
		if arg == "--" {
			rest = append(rest, argv[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		out = append(out, arg)
		if takesValue(cmd, strings.TrimLeft(arg, "-")) && i+1 < len(argv) {
			i++
			out = append(out, argv[i])
		}
	}
	if len(rest) > 1 {
		out = append(out, rest...)
	}
	return out
}

func findCommand(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue says whether the argument behind a flag is its value.
func takesValue(c *cli.Command, flag string) bool {
	for _, f := range c.Flags {
		if d, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), flag) {
			return d.TakesValue()
		}
	}
	return false
}
