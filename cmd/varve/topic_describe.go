package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func topicDescribeCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "describe", Usage: "show the partitions and settings of topics", ArgsUsage: "TOPIC...",
		Description: `LOG-START is the first offset that can be read, HIGH-WATERMARK the next one to be
written, BYTES what lies on the disks of the brokers. Of the settings those that
the topic has of its own are shown. JSON is always a list.

Examples:
   varve topic describe orders
   varve topic describe orders --all-configs
   varve topic describe orders bills --output json`,
		Flags:  kafkaFlags(&cli.BoolFlag{Name: "all-configs", Usage: "show all settings and where they come from"}),
		Action: topicDescribe,
	})
}

type describedTopic struct {
	Topic      string               `json:"topic"`
	ID         string               `json:"id"`
	Internal   bool                 `json:"internal"`
	Partitions []describedPartition `json:"partitions"`
	Configs    []describedConfig    `json:"configs"`
}

type describedPartition struct {
	Partition     int32   `json:"partition"`
	Leader        int32   `json:"leader"`
	LeaderEpoch   int32   `json:"leader_epoch"`
	Replicas      []int32 `json:"replicas"`
	ISR           []int32 `json:"isr"`
	LogStart      *int64  `json:"log_start_offset"`
	HighWatermark *int64  `json:"high_watermark"`
	Bytes         *int64  `json:"bytes"`
	Error         string  `json:"error,omitempty"`
}

type describedConfig struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	Sensitive bool    `json:"sensitive,omitempty"`
}

func topicDescribe(c *cli.Context) error {
	names, err := atLeastOne(c, "TOPIC")
	if err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	details, err := k.metadataOf(names...)
	if err != nil {
		return err
	}
	topics, err := k.describe(details, c.Bool("all-configs"))
	if err != nil {
		return err
	}
	if out.json {
		return out.encode(topics)
	}
	for i, t := range topics {
		if i > 0 {
			fmt.Fprintln(out.data)
		}
		if err := printTopic(out, t, c.Bool("all-configs")); err != nil {
			return err
		}
	}
	return nil
}

// describe gathers everything that is shown of topics.
func (k *cluster) describe(details []kadm.TopicDetail, all bool) ([]describedTopic, error) {
	ctx, cancel := k.ask()
	defer cancel()
	var names []string
	set := kadm.TopicsSet{}
	for _, d := range details {
		names = append(names, d.Topic)
		for p := range d.Partitions {
			set.Add(d.Topic, p)
		}
	}
	starts, err := k.admin.ListStartOffsets(ctx, names...)
	if err != nil && len(starts) == 0 {
		return nil, k.explain(err)
	}
	ends, err := k.admin.ListEndOffsets(ctx, names...)
	if err != nil && len(ends) == 0 {
		return nil, k.explain(err)
	}
	configs, err := k.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, k.explain(err)
	}
	dirs, err := k.admin.DescribeAllLogDirs(ctx, set)
	if err != nil && len(dirs) == 0 {
		return nil, k.explain(err)
	}
	sizes := map[string]map[int32]int64{}
	for _, broker := range dirs {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if sizes[p.Topic] == nil {
				sizes[p.Topic] = map[int32]int64{}
			}
			sizes[p.Topic][p.Partition] += p.Size
		})
	}
	var topics []describedTopic
	for _, d := range details {
		t := describedTopic{Topic: d.Topic, ID: topicID(d), Internal: d.IsInternal}
		for _, p := range partitionsOf(d) {
			q := describedPartition{Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR}
			q.LogStart, q.Error = listedOffset(starts, p, q.Error)
			q.HighWatermark, q.Error = listedOffset(ends, p, q.Error)
			if n, ok := sizes[p.Topic][p.Partition]; ok {
				q.Bytes = &n
			}
			t.Partitions = append(t.Partitions, q)
		}
		if t.Configs, err = configsOf(configs, d.Topic, all); err != nil {
			return nil, err
		}
		topics = append(topics, t)
	}
	return topics, nil
}

// listedOffset returns an offset of a partition, or what is wrong with it.
func listedOffset(list kadm.ListedOffsets, p kadm.PartitionDetail, before string) (*int64, string) {
	o, found := list.Lookup(p.Topic, p.Partition)
	switch {
	case p.Err != nil:
		return nil, blame("", p.Err, "").Error()
	case !found:
		return nil, cmp.Or(before, "no answer")
	case o.Err != nil:
		return nil, cmp.Or(before, blame("", o.Err, "").Error())
	}
	return &o.Offset, before
}

// configsOf returns the settings of a topic by name.
func configsOf(list kadm.ResourceConfigs, topic string, all bool) ([]describedConfig, error) {
	r, err := list.On(topic, nil)
	if err == nil && r.Err != nil {
		err = blame("settings of topic "+topic, r.Err, r.ErrMessage)
	}
	if err != nil {
		return nil, err
	}
	configs := []describedConfig{}
	for _, v := range r.Configs {
		source := strings.ToLower(v.Source.String())
		if all || source == "dynamic_topic_config" {
			configs = append(configs, describedConfig{v.Key, v.Value, source, v.Sensitive})
		}
	}
	slices.SortFunc(configs, func(a, b describedConfig) int { return cmp.Compare(a.Name, b.Name) })
	return configs, nil
}

func printTopic(out output, t describedTopic, all bool) error {
	head := [][]string{{"topic", t.Topic}, {"id", t.ID}, {"partitions", strconv.Itoa(len(t.Partitions))}}
	if t.Internal {
		head = append(head, []string{"internal", "true"})
	}
	if !all {
		for _, v := range t.Configs {
			head = append(head, []string{v.Name, text(v.Value)})
		}
	}
	if err := out.print(nil, head...); err != nil {
		return err
	}
	fmt.Fprintln(out.data)
	rows, failed := [][]string{{"PARTITION", "LEADER", "REPLICAS", "LOG-START", "HIGH-WATERMARK", "BYTES"}}, false
	for _, p := range t.Partitions {
		rows = append(rows, []string{number(&p.Partition), number(&p.Leader), strings.Trim(strings.Join(strings.Fields(fmt.Sprint(p.Replicas)), ","), "[]"),
			number(p.LogStart), number(p.HighWatermark), number(p.Bytes), p.Error})
		failed = failed || p.Error != ""
	}
	if failed {
		rows[0] = append(rows[0], "ERROR")
	} else {
		for i := range rows[1:] {
			rows[i+1] = rows[i+1][:len(rows[0])]
		}
	}
	if err := out.print(nil, rows...); err != nil || !all {
		return err
	}
	fmt.Fprintln(out.data)
	rows = [][]string{{"SETTING", "VALUE", "FROM"}}
	for _, v := range t.Configs {
		rows = append(rows, []string{v.Name, text(v.Value), strings.ReplaceAll(strings.TrimSuffix(v.Source, "_config"), "_", " ")})
	}
	return out.print(nil, rows...)
}

// text is a value that may be missing.
func text(v *string) string {
	if v == nil {
		return ""
	}
	return *v
}

// number is a number that may be missing.
func number[T int32 | int64](v *T) string {
	if v == nil {
		return ""
	}
	return strconv.FormatInt(int64(*v), 10)
}
