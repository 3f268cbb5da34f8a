package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/broker/kafka"
	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/lint/generated"
)

// page is a generated page, as it lies under docs/reference.
type page struct {
	name, usage string
	render      func() ([]byte, error)
}

func pages() []page {
	return []page{
		{"api-versions", "keys and versions of the Kafka protocol", func() ([]byte, error) {
			return append([]byte(generated.Marker("api-versions")), kafka.Reference()...), nil
		}},
		{"cli", "all commands", cliReference},
		{"metrics", "all metrics", func() ([]byte, error) {
			return append([]byte(generated.Marker("metrics")), metrics.Reference()...), nil
		}},
		{"settings", "settings of brokers and topics", func() ([]byte, error) { return config.Reference(), nil }},
	}
}

func docsCommand() *cli.Command {
	var list strings.Builder
	for _, p := range pages() {
		fmt.Fprintf(&list, "   varve docs %-14s # %s\n", p.name, p.usage)
	}
	return verb(&cli.Command{
		Name: "docs", Usage: "print a generated reference page in Markdown", ArgsUsage: "NAME",
		Description: "The pages of this very binary.\n\nExamples:\n" + strings.TrimRight(list.String(), "\n"),
		Action:      printPage,
	})
}

func printPage(c *cli.Context) error {
	args, err := arguments(c, "NAME")
	if err != nil {
		return err
	}
	var names []string
	for _, p := range pages() {
		if p.name != args[0] {
			names = append(names, p.name)
			continue
		}
		text, err := p.render()
		if err == nil {
			_, err = c.App.Writer.Write(text)
		}
		return err
	}
	return usageError{fmt.Errorf("no page %q; there are %s", args[0], strings.Join(names, ", "))}
}

const cliIntro = `
# Command line

Every command with what ` + "`--help`" + ` prints. Flags may stand before or behind the arguments; behind ` + "`--`" + ` everything is an argument.

Commands that speak Kafka's protocol find brokers with ` + "`--brokers`" + ` or in the environment, ` + "`VARVE_BROKERS`" + `; those that speak HTTP with ` + "`--http`" + `.

Data goes to stdout and notes to stderr, so output can be piped; ` + "`--output json`" + ` is for programs. An error is one line on stderr. The exit code is 0, 1 if something failed, 2 if the command line or the settings are wrong.
`

// cliReference renders docs/reference/cli.md by asking every command for its
// help.
func cliReference() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(generated.Marker("cli") + cliIntro)
	err := eachCommand(app().Commands, []string{"varve"}, func(path []string) error {
		var help bytes.Buffer
		a := app()
		a.Writer, a.ErrWriter = &help, &help
		if err := a.Run(append(path, "--help")); err != nil {
			return fmt.Errorf("help of %s: %w", strings.Join(path, " "), err)
		}
		fmt.Fprintf(&out, "\n%s %s\n\n```text\n", strings.Repeat("#", len(path)), strings.Join(path, " "))
		for line := range strings.Lines(strings.TrimSpace(help.String()) + "\n") {
			out.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
		out.WriteString("```\n")
		return nil
	})
	return out.Bytes(), err
}

// eachCommand calls f with the path of every command, those of a group behind it.
func eachCommand(commands []*cli.Command, path []string, f func([]string) error) error {
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		own := append(append([]string{}, path...), c.Name)
		if err := f(own); err != nil {
			return err
		}
		if err := eachCommand(c.Subcommands, own, f); err != nil {
			return err
		}
	}
	return nil
}
