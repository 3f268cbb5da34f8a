package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func topicAlterCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "alter", Usage: "change the settings of topics, or add partitions", ArgsUsage: "TOPIC...",
		Description: `Partitions can be added and never taken away; records with a key may then go to
another partition than before.

Examples:
   varve topic alter orders --set retention.ms=604800000 --set segment.bytes=268435456
   varve topic alter orders --unset retention.ms
   varve topic alter orders --partitions 12`,
		Flags: kafkaFlags(
			&cli.StringSliceFlag{Name: "set", Usage: "set one setting, `NAME=VALUE`; may be repeated"},
			&cli.StringSliceFlag{Name: "unset", Usage: "give the setting `NAME` its default again; may be repeated"},
			&cli.IntFlag{Name: "partitions", Aliases: []string{"p"}, Usage: "`NUMBER` of partitions that the topic has then"},
		),
		Action: topicAlter,
	})
}

func topicAlter(c *cli.Context) error {
	names, err := atLeastOne(c, "TOPIC")
	if err != nil {
		return err
	}
	changes, err := configChanges(c)
	if err != nil {
		return err
	}
	partitions := c.Int("partitions")
	switch {
	case c.IsSet("partitions") && (partitions < 1 || partitions > math.MaxInt32):
		return usageError{fmt.Errorf("--partitions %d is not above zero", partitions)}
	case len(changes) == 0 && !c.IsSet("partitions"):
		return usageError{errors.New("nothing to change; give --set NAME=VALUE, --unset NAME or --partitions NUMBER")}
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	if _, err := k.metadataOf(names...); err != nil {
		return err
	}
	failed := map[string]error{}
	if len(changes) > 0 {
		if err := k.alterConfigs(changes, names, failed); err != nil {
			return err
		}
	}
	if c.IsSet("partitions") {
		if err := k.addPartitions(partitions, names, failed); err != nil {
			return err
		}
	}
	var results []topicResult
	for _, n := range names {
		r := topicResult{Topic: n, Done: failed[n] == nil}
		if failed[n] != nil {
			r.Error = failed[n].Error()
		}
		results = append(results, r)
	}
	return printTopics(out, "altered", results)
}

// configChanges makes --set and --unset one list, in order of names.
func configChanges(c *cli.Context) ([]kadm.AlterConfig, error) {
	set, err := pairs(c, "set")
	if err != nil {
		return nil, err
	}
	var changes []kadm.AlterConfig
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	for _, name := range c.StringSlice("unset") {
		if _, both := set[name]; both || name == "" {
			return nil, usageError{fmt.Errorf("--unset %q: name a setting that --set does not name", name)}
		}
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	return changes, nil
}

func (k *cluster) alterConfigs(changes []kadm.AlterConfig, topics []string, failed map[string]error) error {
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.AlterTopicConfigs(ctx, changes, topics...)
	if err != nil {
		return k.explain(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			failed[a.Name] = blame("topic "+a.Name, a.Err, a.ErrMessage)
		}
	}
	return nil
}

// addPartitions leaves out topics that failed already.
func (k *cluster) addPartitions(total int, topics []string, failed map[string]error) error {
	topics = slices.DeleteFunc(slices.Clone(topics), func(t string) bool { return failed[t] != nil })
	if len(topics) == 0 {
		return nil
	}
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.UpdatePartitions(ctx, total, topics...)
	if err != nil {
		return k.explain(err)
	}
	for _, a := range answers.Sorted() {
		if a.Err != nil {
			failed[a.Topic] = blame("topic "+a.Topic, a.Err, a.ErrMessage)
		}
	}
	return nil
}
