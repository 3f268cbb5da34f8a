package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func topicTrimCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "trim", Usage: "delete the oldest records of a topic", ArgsUsage: "TOPIC",
		Description: `Deletes the records below an offset, in one partition or in all of them: the log
start moves there. It asks first.

Examples:
   varve topic trim orders --partition 3 --offset 120000
   varve topic trim orders --offset end --yes`,
		Flags: kafkaFlags(
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Usage: "`NUMBER` of the partition", Value: -1, DefaultText: "all"},
			&cli.StringFlag{Name: "offset", Usage: "first `OFFSET` that stays, or end"},
			yesFlag(),
		),
		Action: topicTrim,
	})
}

type trimmed struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	LogStart  int64  `json:"log_start_offset"`
	Error     string `json:"error,omitempty"`
}

func topicTrim(c *cli.Context) error {
	args, err := arguments(c, "TOPIC")
	if err != nil {
		return err
	}
	offset, question, err := trimOffset(c)
	if err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	details, err := k.metadataOf(args[0])
	if err != nil {
		return err
	}
	offsets := kadm.Offsets{}
	for _, p := range partitionsOf(details[0]) {
		if c.IsSet("partition") && int(p.Partition) != c.Int("partition") {
			continue
		}
		offsets.AddOffset(p.Topic, p.Partition, offset, -1)
	}
	if len(offsets) == 0 {
		return fmt.Errorf("topic %s has no partition %d; its partitions are 0 to %d", args[0], c.Int("partition"), len(details[0].Partitions)-1)
	}
	if err := confirm(c, fmt.Sprintf("Delete the records of %s %s?", args[0], question)); err != nil {
		return err
	}
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return k.explain(err)
	}
	rows, list := [][]string{{"PARTITION", "LOG-START"}}, []trimmed{}
	var failed error
	for _, a := range answers.Sorted() {
		t := trimmed{Topic: a.Topic, Partition: a.Partition, LogStart: a.LowWatermark}
		if a.Err != nil {
			err := blame(fmt.Sprintf("topic %s, partition %d", a.Topic, a.Partition), a.Err, "")
			t.Error = err.Error()
			failed = err
		} else {
			rows = append(rows, []string{number(&a.Partition), number(&a.LowWatermark)})
		}
		list = append(list, t)
	}
	if len(rows) > 1 || out.json {
		if err := out.print(list, rows...); err != nil {
			return err
		}
	}
	return failed
}

// trimOffset reads --offset, where -1 is the protocol's word for the end.
func trimOffset(c *cli.Context) (offset int64, question string, err error) {
	if c.IsSet("partition") && (c.Int("partition") < 0 || c.Int("partition") > math.MaxInt32) {
		return 0, "", usageError{fmt.Errorf("--partition %d is no partition", c.Int("partition"))}
	}
	where := "in all partitions"
	if c.IsSet("partition") {
		where = fmt.Sprintf("in partition %d", c.Int("partition"))
	}
	switch text := c.String("offset"); text {
	case "":
		return 0, "", usageError{errors.New("trim needs --offset OFFSET, or --offset end")}
	case "end":
		return -1, where, nil
	default:
		offset, err = strconv.ParseInt(text, 10, 64)
		if err != nil || offset < 0 {
			return 0, "", usageError{fmt.Errorf("--offset %q is neither an offset nor end", text)}
		}
		return offset, fmt.Sprintf("below offset %d %s", offset, where), nil
	}
}
