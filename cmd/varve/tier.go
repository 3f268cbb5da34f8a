package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
)

func tierCommand() *cli.Command {
	return group("tier", "the cold tier: segments in object storage", "",
		verb(&cli.Command{
			Name: "status", Usage: "show what lies in the cold tier and what waits for it", ArgsUsage: "[TOPIC]",
			Description: `By partition: where the log starts, where its local part starts, up to where the
tier has it, and where it ends; what the tier holds, what is to be uploaded, and
how many segments are to be deleted. --orphans lists objects that belong to no
partition; nothing removes them yet.

Examples:
   varve tier status
   varve tier status orders --output json
   varve tier status --orphans`,
			Flags:  clientFlags(&cli.BoolFlag{Name: "orphans", Usage: "list objects that belong to no partition instead"}),
			Action: tierStatus,
		}),
	)
}

// tierState is what the broker says of its tier.
type tierState struct {
	Store      string          `json:"store"`
	Partitions []tierPartition `json:"partitions"`
}

type tierPartition struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	LogStart         int64  `json:"log_start_offset"`
	LocalLogStart    int64  `json:"local_log_start_offset"`
	TieredEnd        int64  `json:"tiered_end_offset"`
	HighWatermark    int64  `json:"high_watermark"`
	Segments         int64  `json:"segments"`
	Bytes            int64  `json:"bytes"`
	PendingSegments  int64  `json:"pending_segments"`
	PendingBytes     int64  `json:"pending_bytes"`
	DeletingSegments int64  `json:"deleting_segments"`
	Error            string `json:"error"`
}

type tierOrphans struct {
	Orphans []tierOrphan `json:"orphans"`
}

type tierOrphan struct {
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

func tierStatus(c *cli.Context) error {
	var names []string
	if c.NArg() > 0 {
		names = []string{"TOPIC"}
	}
	cl, out, args, err := open(c, names...)
	if err != nil {
		return err
	}
	if c.Bool("orphans") {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unexpected argument %q: --orphans lists those of no topic", args[0])}
		}
		return printOrphans(cl, out)
	}
	path := "/v1/tier"
	if len(args) > 0 {
		path += "?" + url.Values{"topic": args}.Encode()
	}
	state := tierState{Partitions: []tierPartition{}}
	err = cl.do(http.MethodGet, path, nil, &state)
	if refused(err, http.StatusNotFound) && len(args) > 0 {
		return fmt.Errorf("%w; `varve topic list` shows what there is", err)
	}
	if err != nil {
		return err
	}
	return printTier(out, state)
}

func printTier(out output, state tierState) error {
	if out.json {
		return out.encode(state)
	}
	out.note("store %s", state.Store)
	rows := [][]string{{"TOPIC", "PARTITION", "LOG-START", "LOCAL-START", "TIERED-END", "LOG-END", "SEGMENTS", "BYTES", "PENDING", "PENDING-BYTES", "DELETING"}}
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	failed := false
	for _, p := range state.Partitions {
		failed = failed || p.Error != ""
		rows = append(rows, []string{p.Topic, number(&p.Partition), n(p.LogStart), n(p.LocalLogStart), n(p.TieredEnd), n(p.HighWatermark),
			n(p.Segments), n(p.Bytes), n(p.PendingSegments), n(p.PendingBytes), n(p.DeletingSegments)})
	}
	if failed {
		rows[0] = append(rows[0], "ERROR")
		for i, p := range state.Partitions {
			rows[i+1] = append(rows[i+1], p.Error)
		}
	}
	return out.print(nil, rows...)
}

func printOrphans(cl *client, out output) error {
	answer := tierOrphans{Orphans: []tierOrphan{}}
	if err := cl.do(http.MethodGet, "/v1/tier/orphans", nil, &answer); err != nil {
		return err
	}
	rows, bytes := [][]string{{"KEY", "BYTES", "MODIFIED"}}, int64(0)
	for _, o := range answer.Orphans {
		rows = append(rows, []string{o.Key, strconv.FormatInt(o.Bytes, 10), o.Modified.UTC().Format(time.RFC3339)})
		bytes += o.Bytes
	}
	if err := out.print(answer, rows...); err != nil {
		return err
	}
	if !out.json {
		out.note("%s, %s", count(int64(len(answer.Orphans)), "orphan"), byteCount(bytes))
	}
	return nil
}
