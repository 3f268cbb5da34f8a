package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// yesFlag is the flag of every command that asks before it destroys something.
func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}
}

// errDeclined ends a command that the user did not confirm.
var errDeclined = errors.New("nothing was changed")

// confirm asks on a terminal whether to go on. Without a terminal nobody can
// answer, and --yes must be given.
func confirm(c *cli.Context, question string) error {
	if c.Bool("yes") {
		return nil
	}
	if !isTerminal(c.App.Reader) {
		return usageError{fmt.Errorf("%s needs --yes where no terminal can be asked", c.Command.HelpName)}
	}
	fmt.Fprintf(c.App.ErrWriter, "%s [y/N] ", oneLine(question))
	line, err := bufio.NewReader(io.LimitReader(c.App.Reader, 1024)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// terminal is what a stream other than a file implements to be taken for one.
type terminal interface{ Terminal() bool }

// isTerminal says whether a stream is a terminal, or another character device.
func isTerminal(stream any) bool {
	switch s := stream.(type) {
	case terminal:
		return s.Terminal()
	case *os.File:
		info, err := s.Stat()
		return err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return false
}
