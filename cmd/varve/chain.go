package main

import (
	"errors"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/admin"
)

func chainCommand() *cli.Command {
	return group("chain", "the ordered stages that the records of a topic pass",
		`A chain is the topic's setting plugin.chain; kafka-configs shows and changes the
same. set and clear return when every partition runs the new chain.`,
		verb(&cli.Command{
			Name: "show", Usage: "show a topic's chain", ArgsUsage: "TOPIC",
			Description: "Examples:\n   varve chain show orders\n   varve chain show orders --output json",
			Flags:       clientFlags(), Action: chainShow,
		}),
		verb(&cli.Command{
			Name: "set", Usage: "replace a topic's chain", ArgsUsage: "TOPIC STAGE...",
			Description: "Records pass the stages in the order given.\n\nExamples:\n   varve chain set orders redact-email orders-only",
			Flags:       clientFlags(), Action: chainSet,
		}),
		verb(&cli.Command{
			Name: "clear", Usage: "take all stages out of a topic's chain", ArgsUsage: "TOPIC",
			Description: "The stages remain.\n\nExamples:\n   varve chain clear orders",
			Flags:       clientFlags(), Action: chainClear,
		}),
	)
}

func chainShow(c *cli.Context) error {
	cl, out, args, err := open(c, "TOPIC")
	if err != nil {
		return err
	}
	ch, err := cl.chain(args[0])
	if err != nil {
		return err
	}
	return printChain(out, ch)
}

func printChain(out output, ch admin.Chain) error {
	rows := [][]string{{"POSITION", "STAGE"}}
	for i, s := range ch.Stages {
		rows = append(rows, []string{strconv.Itoa(i + 1), s})
	}
	return out.print(ch, rows...)
}

func chainSet(c *cli.Context) error {
	names := []string{"TOPIC", "STAGE"}
	for range c.NArg() - len(names) {
		names = append(names, "STAGE")
	}
	cl, out, args, err := open(c, names...)
	if err != nil {
		return err
	}
	for _, s := range args[1:] {
		if err := checkStageName(s); err != nil {
			return err
		}
	}
	return replaceChain(cl, out, args[0], args[1:])
}

func chainClear(c *cli.Context) error {
	cl, out, args, err := open(c, "TOPIC")
	if err != nil {
		return err
	}
	return replaceChain(cl, out, args[0], []string{})
}

func replaceChain(cl *client, out output, topic string, stages []string) error {
	if topic == "." || topic == ".." { // an address cannot hold them, and no topic is named so
		return usageError{errors.New("TOPIC is not a topic's name")}
	}
	ch, err := cl.setChain(topic, stages)
	if err != nil {
		return err
	}
	return printChain(out, ch)
}
