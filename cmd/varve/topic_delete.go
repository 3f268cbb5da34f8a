package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func topicDeleteCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "delete", Usage: "delete topics with all their records", ArgsUsage: "TOPIC...",
		Description: `It asks first. The records are gone for good, those in the cold tier as well.

Examples:
   varve topic delete orders
   varve topic delete orders bills --yes`,
		Flags: kafkaFlags(yesFlag()), Action: topicDelete,
	})
}

func topicDelete(c *cli.Context) error {
	names, err := atLeastOne(c, "TOPIC")
	if err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	if _, err := k.metadataOf(names...); err != nil {
		return err
	}
	if err := confirm(c, fmt.Sprintf("Delete %s with all records?", strings.Join(names, ", "))); err != nil {
		return err
	}
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.DeleteTopics(ctx, names...)
	if err != nil {
		return k.explain(err)
	}
	var results []topicResult
	for _, a := range answers.Sorted() {
		r := topicResult{Topic: a.Topic, Done: a.Err == nil}
		if a.Err != nil {
			r.Error = blame("topic "+a.Topic, a.Err, a.ErrMessage).Error()
		}
		results = append(results, r)
	}
	return printTopics(out, "deleted", results)
}
