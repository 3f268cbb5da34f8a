package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func topicCommand() *cli.Command {
	return group("topic", "create, show, change and delete topics", "",
		topicCreateCommand(), topicListCommand(), topicDescribeCommand(), topicAlterCommand(),
		topicTrimCommand(), topicDeleteCommand())
}

// openAdmin is what every command on topics and groups begins with. The caller
// closes the connection.
func openAdmin(c *cli.Context) (*cluster, output, error) {
	out, err := newOutput(c)
	if err != nil {
		return nil, out, err
	}
	k, err := openKafka(c.Context, c)
	return k, out, err
}

// atLeastOne returns the arguments, of which there must be one.
func atLeastOne(c *cli.Context, name string) ([]string, error) {
	args := c.Args().Slice()
	if len(args) == 0 || slices.Contains(args, "") {
		return nil, usageError{fmt.Errorf("%s is missing; usage: %s %s", name, c.Command.HelpName, c.Command.ArgsUsage)}
	}
	slices.Sort(args)
	return slices.Compact(args), nil
}

// pairs takes NAME=VALUE flags apart.
func pairs(c *cli.Context, flag string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range c.StringSlice(flag) {
		name, value, found := strings.Cut(p, "=")
		if name = strings.TrimSpace(name); !found || name == "" {
			return nil, usageError{fmt.Errorf("--%s %q is not NAME=VALUE", flag, p)}
		}
		if old, twice := out[name]; twice && old != value {
			return nil, usageError{fmt.Errorf("--%s gives %s twice, as %q and %q", flag, name, old, value)}
		}
		out[name] = value
	}
	return out, nil
}

// topicResult is what became of one topic.
type topicResult struct {
	Topic      string `json:"topic"`
	Done       bool   `json:"done"`
	Partitions int32  `json:"partitions,omitempty"`
	Note       string `json:"note,omitempty"`
	Error      string `json:"error,omitempty"`
}

// printTopics prints what became of topics; it fails if any failed.
func printTopics(out output, done string, results []topicResult) error {
	slices.SortFunc(results, func(a, b topicResult) int { return cmp.Compare(a.Topic, b.Topic) })
	rows, failed := [][]string{{"TOPIC", "STATUS"}}, []string{}
	for _, r := range results {
		status := cmp.Or(r.Note, done)
		if r.Error != "" {
			status, failed = "error", append(failed, r.Error)
		}
		rows = append(rows, []string{r.Topic, status})
	}
	if len(failed) < len(results) || out.json {
		if err := out.print(results, rows...); err != nil {
			return err
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s", failed[0])
	}
	return fmt.Errorf("%s; and %d more failed", failed[0], len(failed)-1)
}

// metadataOf returns what the cluster says of topics that all must exist, sorted
// by name.
func (k *cluster) metadataOf(topics ...string) ([]kadm.TopicDetail, error) {
	ctx, cancel := k.ask()
	defer cancel()
	found, err := k.admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, k.explain(err)
	}
	var list []kadm.TopicDetail
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t := found[name]
		if t.Err != nil {
			return nil, blame("topic "+name, t.Err, "")
		}
		list = append(list, t)
	}
	return list, nil
}

// topicID returns a topic's id as Kafka's tools write it.
func topicID(t kadm.TopicDetail) string { return base64.RawURLEncoding.EncodeToString(t.ID[:]) }

// partitionsOf returns the partitions of a topic in order.
func partitionsOf(t kadm.TopicDetail) []kadm.PartitionDetail {
	return slices.SortedFunc(maps.Values(t.Partitions), func(a, b kadm.PartitionDetail) int { return cmp.Compare(a.Partition, b.Partition) })
}
