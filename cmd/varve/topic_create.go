package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/urfave/cli/v2"
)

func topicCreateCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "create", Usage: "create topics", ArgsUsage: "TOPIC...",
		Description: `Examples:
   varve topic create orders
   varve topic create orders bills --partitions 6 --config retention.ms=86400000
   varve topic create archive --config remote.storage.enable=true --if-not-exists`,
		Flags: kafkaFlags(
			&cli.IntFlag{Name: "partitions", Aliases: []string{"p"}, Usage: "`NUMBER` of partitions; -1 is the broker's num.partitions", Value: -1},
			&cli.IntFlag{Name: "replication-factor", Aliases: []string{"r"}, Usage: "`NUMBER` of replicas; -1 is the broker's default.replication.factor", Value: -1},
			&cli.StringSliceFlag{Name: "config", Aliases: []string{"c"}, Usage: "a topic's setting, `NAME=VALUE`; may be repeated"},
			&cli.BoolFlag{Name: "if-not-exists", Usage: "a topic that exists is no error, and stays as it is"},
		),
		Action: topicCreate,
	})
}

func topicCreate(c *cli.Context) error {
	names, err := atLeastOne(c, "TOPIC")
	if err != nil {
		return err
	}
	partitions, replicas := c.Int("partitions"), c.Int("replication-factor")
	switch {
	case partitions == 0 || partitions < -1 || partitions > math.MaxInt32:
		return usageError{fmt.Errorf("--partitions %d is neither above zero nor -1", partitions)}
	case replicas == 0 || replicas < -1 || replicas > math.MaxInt16:
		return usageError{fmt.Errorf("--replication-factor %d is neither above zero nor -1", replicas)}
	}
	settings, err := pairs(c, "config")
	if err != nil {
		return err
	}
	configs := make(map[string]*string, len(settings))
	for name, value := range settings {
		configs[name] = &value
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.CreateTopics(ctx, int32(partitions), int16(replicas), configs, names...)
	if err != nil {
		return k.explain(err)
	}
	var results []topicResult
	for _, a := range answers.Sorted() {
		r := topicResult{Topic: a.Topic, Done: a.Err == nil, Partitions: a.NumPartitions}
		if a.Err != nil {
			err := blame("topic "+a.Topic, a.Err, a.ErrMessage)
			if answered(err, "TOPIC_ALREADY_EXISTS") && c.Bool("if-not-exists") {
				r.Note = "exists"
			} else {
				r.Error = err.Error()
			}
		}
		if r.Partitions < 0 {
			r.Partitions = 0
		}
		results = append(results, r)
	}
	if len(results) < len(names) {
		return errors.New("the broker's answer leaves topics out; `varve topic list` shows what there is")
	}
	return printTopics(out, "created", results)
}
