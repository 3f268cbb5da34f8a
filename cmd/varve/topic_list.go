package main

import (
	"maps"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"
)

func topicListCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "list", Usage: "list topics", ArgsUsage: " ",
		Description: "Examples:\n   varve topic list\n   varve topic list --internal --output json",
		Flags: kafkaFlags(
			&cli.BoolFlag{Name: "internal", Aliases: []string{"i"}, Usage: "also those that the broker keeps for itself"},
		),
		Action: topicList,
	})
}

type listedTopic struct {
	Topic      string `json:"topic"`
	ID         string `json:"id"`
	Internal   bool   `json:"internal"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
}

func topicList(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	ctx, cancel := k.ask()
	defer cancel()
	found, err := k.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return k.explain(err)
	}
	list, rows := []listedTopic{}, [][]string{{"TOPIC", "PARTITIONS", "REPLICAS"}}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t := found[name]
		if t.IsInternal && !c.Bool("internal") {
			continue
		}
		l := listedTopic{Topic: name, ID: topicID(t), Internal: t.IsInternal, Partitions: len(t.Partitions)}
		for _, p := range t.Partitions {
			l.Replicas = max(l.Replicas, len(p.Replicas))
		}
		list = append(list, l)
		rows = append(rows, []string{name, strconv.Itoa(l.Partitions), strconv.Itoa(l.Replicas)})
	}
	return out.print(list, rows...)
}
