// Command varve is a streaming storage broker that any Kafka client talks to,
// and the tools that go with it.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// version is set by the linker (see the Makefile).
var version = "dev"

func main() {
	a := app()
	if err := a.Run(permute(a, os.Args)); err != nil {
		fmt.Fprintln(os.Stderr, "varve: "+strings.TrimSpace(err.Error()))
		os.Exit(exitCode(err))
	}
}

// Exit codes: 1 something failed, 2 the command line or the settings are wrong;
// repair has one of its own.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error of the command line or the settings.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func app() *cli.App {
	return &cli.App{
		Name:     "varve",
		HelpName: "varve",
		Usage:    "a streaming storage broker that any Kafka client talks to",
		Version:  version,
		Description: "Start with `varve serve`: it needs no settings, keeps its data in ./varve-data\n" +
			"and serves Kafka clients on 127.0.0.1:9092. Then, in another terminal:\n\n" +
			"   echo hello | varve produce greetings\n" +
			"   varve consume greetings\n\n" +
			"Commands find brokers with --brokers or " + brokersEnv + ". Data goes to stdout, notes and\n" +
			"errors to stderr. The exit code is 0, 1 if something failed, 2 if the command line\n" +
			"or the settings are wrong; `varve repair` has 3 as well.",
		HideVersion:               true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // settings hold commas
		Suggest:                   true,
		ExitErrHandler:            func(*cli.Context, error) {}, // main prints and exits
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		Commands: []*cli.Command{
			serveCommand(), topicCommand(), produceCommand(), consumeCommand(), groupCommand(), pluginCommand(), stageCommand(), chainCommand(), tierCommand(), dumpCommand(), repairCommand(),
			completionCommand(), docsCommand(), versionCommand(),
		},
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintf(os.Stderr, "varve: unknown command %q; `varve help` lists the commands\n", name)
			os.Exit(exitUsage)
		},
	}
}

func versionCommand() *cli.Command {
	return verb(&cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintln(c.App.Writer, version)
			return err
		},
	})
}
