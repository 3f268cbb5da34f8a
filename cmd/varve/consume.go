package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

func consumeCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "consume", Usage: "print the records of topics", ArgsUsage: "TOPIC...",
		Description: `Prints from the start of every partition, and goes on until it is interrupted,
--count records are printed, or every partition is read up to --until. The end is
that of the moment in which the command starts. Without --group nothing is
remembered, and partitions and topics that are added later are not read.

With --group the partitions are shared with the group's other members, it goes on
where the group stands (--from counts where it does not stand anywhere), and what
was printed is committed.

OFFSET, -N and TIME hold for each partition. Offsets may have holes, where a
plugin dropped a record, say: -10 are the last ten offsets, not always ten records.

Fields of --format:
` + formatHelp(false) + `

Examples:
   varve consume greetings
   varve consume orders --until end --format '%p:%o %k=%v\n'
   varve consume orders --from -10 --output json
   varve consume orders --from @2026-01-31T12:00:00Z --until @2026-01-31T13:00:00Z
   varve consume orders --group billing --count 100
   varve consume 'orders-.*' --regex --until end`,
		Flags: kafkaFlags(
			&cli.StringFlag{Name: "from", Usage: "where to begin, as `PLACE`: " + placeHelp, Value: "start"},
			&cli.StringFlag{Name: "until", Usage: "where to stop, as `PLACE`: the same words; what is there is not printed (default: go on)"},
			&cli.Int64Flag{Name: "count", Aliases: []string{"n"}, Usage: "stop after this `NUMBER` of records", DefaultText: "go on"},
			&cli.StringFlag{Name: "group", Aliases: []string{"g"}, Usage: "consume as a member of the `GROUP`"},
			&cli.IntSliceFlag{Name: "partition", Aliases: []string{"p"}, Usage: "only the partition `NUMBER`; may be repeated"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "`FORMAT` of a record", Value: `%v\n`},
			&cli.BoolFlag{Name: "regex", Usage: "TOPIC is a regular expression, which the whole name must match"},
			&cli.StringFlag{Name: "isolation", Usage: "`LEVEL`: read_uncommitted or read_committed", Value: "read_uncommitted"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no summary on stderr"},
		),
		Action: consume,
	})
}

// consumePlan is what a command line asks of consume.
type consumePlan struct {
	topics     []string
	patterns   []*regexp.Regexp // in place of topics
	from       place
	until      *place // nil: go on
	count      int64  // 0: go on
	group      string
	partitions []int // none: all
	committed  bool
}

// planConsume reads the flags.
func planConsume(c *cli.Context) (*consumePlan, error) {
	topics, err := atLeastOne(c, "TOPIC")
	if err != nil {
		return nil, err
	}
	p := &consumePlan{topics: topics, count: c.Int64("count"), group: c.String("group"), partitions: c.IntSlice("partition")}
	if c.Bool("regex") {
		for _, t := range topics {
			re, err := regexp.Compile("^(?:" + t + ")$")
			if err != nil {
				return nil, usageError{fmt.Errorf("TOPIC %q is no regular expression: %w", t, err)}
			}
			p.patterns = append(p.patterns, re)
		}
	}
	if p.from, err = parsePlace(c.String("from")); err != nil {
		return nil, usageError{fmt.Errorf("--from %w", err)}
	}
	if c.IsSet("until") {
		until, err := parsePlace(c.String("until"))
		if err != nil {
			return nil, usageError{fmt.Errorf("--until %w", err)}
		}
		p.until = &until
	}
	switch level := c.String("isolation"); level {
	case "read_uncommitted":
	case "read_committed":
		p.committed = true
	default:
		return nil, usageError{fmt.Errorf("--isolation %q is not known; write read_uncommitted or read_committed", level)}
	}
	switch {
	case c.IsSet("count") && p.count <= 0:
		return nil, usageError{fmt.Errorf("--count %d is not above zero", p.count)}
	case c.IsSet("group") && p.group == "":
		return nil, usageError{errors.New("--group is empty")}
	case p.group != "" && len(p.partitions) > 0:
		return nil, usageError{errors.New("--group and --partition contradict each other: a group shares all partitions among its members; leave one out")}
	}
	return p, nil
}

func consume(c *cli.Context) error {
	p, err := planConsume(c)
	if err != nil {
		return err
	}
	out, err := newOutput(c)
	if err != nil {
		return err
	}
	printer := &recordPrinter{w: bufio.NewWriterSize(out.data, 1<<16), json: out.json, progress: newProgress(c, "consumed", false)}
	if printer.format, err = parseFormat(c.String("format"), false); err != nil {
		return usageError{fmt.Errorf("--format %q %w", c.String("format"), err)}
	}
	if out.json && c.IsSet("format") {
		return usageError{errors.New("--format and --output json contradict each other; leave one out")}
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	k, err := openKafka(ctx, c)
	if err != nil {
		return err
	}
	defer k.close()
	if err := k.findTopics(p); err != nil {
		return err
	}
	run := &consuming{k: k, plan: p, out: out, printer: printer}
	if p.group != "" {
		err = run.asMember(c)
	} else {
		err = run.alone(c)
	}
	printer.progress.end()
	if flushErr := printer.w.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("write to stdout: %w", flushErr)
	}
	if !c.Bool("quiet") && (err == nil || printer.records > 0) {
		out.note("%s, %s", count(printer.records, "record"), byteCount(printer.bytes))
	}
	return err
}

// findTopics turns patterns into topics, and checks that topics exist.
func (k *cluster) findTopics(p *consumePlan) error {
	if len(p.patterns) == 0 {
		_, err := k.metadataOf(p.topics...)
		return err
	}
	all, err := k.metadataOf()
	if err != nil {
		return err
	}
	var found []string
	for _, t := range all {
		if !t.IsInternal && slices.ContainsFunc(p.patterns, func(re *regexp.Regexp) bool { return re.MatchString(t.Topic) }) {
			found = append(found, t.Topic)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("no topic matches %q; `varve topic list` shows what there is", p.topics)
	}
	p.topics = found
	return nil
}

// How long a broker may hold back an answer that has no records.
const (
	followWait  = 5 * time.Second
	boundedWait = 100 * time.Millisecond
)

// consumerOptions are options that both ways of consuming have.
func (p *consumePlan) consumerOptions() []kgo.Opt {
	level := kgo.ReadUncommitted()
	if p.committed {
		level = kgo.ReadCommitted()
	}
	wait := followWait
	if p.until != nil {
		wait = boundedWait
	}
	return []kgo.Opt{
		// What tells of a hole at the end comes when a broker has waited in vain.
		kgo.FetchMaxWait(wait),
		// Control records stand where offsets hold nothing, and move the position.
		kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(level),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
}

// recordPrinter prints records.
type recordPrinter struct {
	w        *bufio.Writer
	format   format
	json     bool
	buffer   []byte
	progress *progress

	records, bytes int64
}

func (p *recordPrinter) print(r *kgo.Record) error {
	var err error
	if p.buffer = p.buffer[:0]; p.json {
		p.buffer, err = appendJSON(p.buffer, r)
	} else {
		p.buffer = p.format.append(p.buffer, r)
	}
	if err == nil {
		_, err = p.w.Write(p.buffer)
	}
	if err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	p.records++
	p.bytes += int64(len(r.Key) + len(r.Value))
	return nil
}

// poll returns the next records, none if there was nothing for a while or ctx
// ended, and otherwise what is wrong.
func (k *cluster) poll(ctx context.Context, cl *kgo.Client, most int) ([]*kgo.Record, error) {
	fetches := cl.PollRecords(ctx, most)
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		switch {
		case failed != nil, errors.As(err, &lost), ctx.Err() != nil && errors.Is(err, ctx.Err()):
		case kafkaCode(err) != "" && topic != "":
			failed = blame("topic "+spot{topic, partition}.String(), err, "")
		default:
			failed = k.explain(err)
		}
	})
	return fetches.Records(), failed
}
