package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func groupResetCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "reset", Usage: "move the offsets of a group that has no members", ArgsUsage: "GROUP",
		Description: `Prints what is going to change and asks. Without --topic it holds for all topics of
which the group has offsets. Offsets outside of a partition become its start or end.

Examples:
   varve group reset billing --to start
   varve group reset billing --to @2026-01-31T12:00:00Z --topic orders --dry-run
   varve group reset billing --shift -100 --topic orders:0,2 --yes`,
		Flags: kafkaFlags(
			&cli.StringFlag{Name: "to", Usage: "new offsets, as `PLACE`: " + placeHelp},
			&cli.Int64Flag{Name: "shift", Usage: "move by this `NUMBER`, back if it is negative", DefaultText: "none"},
			&cli.StringSliceFlag{Name: "topic", Aliases: []string{"t"}, Usage: "only `TOPIC`, or TOPIC:0,2 for some partitions; may be repeated"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would change, and change nothing"},
			yesFlag(),
		),
		Action: groupReset,
	})
}

// resetPlan is what a command line asks of reset.
type resetPlan struct {
	group string
	to    *place // nil: shift
	shift int64
	parts map[string][]int32 // by topic; an empty list is all; nil: what the group has
}

// moved is one offset of the plan.
type moved struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    *int64 `json:"before"` // null: nothing is committed
	After     int64  `json:"after"`
	Error     string `json:"error,omitempty"`
}

func planReset(c *cli.Context) (*resetPlan, error) {
	args, err := arguments(c, "GROUP")
	if err != nil {
		return nil, err
	}
	p := &resetPlan{group: args[0], shift: c.Int64("shift")}
	switch {
	case c.IsSet("to") == c.IsSet("shift"):
		return nil, usageError{errors.New("give either --to PLACE or --shift NUMBER; `varve group reset --help` shows examples")}
	case c.IsSet("to"):
		to, err := parsePlace(c.String("to"))
		if err != nil {
			return nil, usageError{fmt.Errorf("--to %w", err)}
		}
		p.to = &to
	}
	for _, t := range c.StringSlice("topic") {
		name, list, some := strings.Cut(t, ":")
		if name == "" {
			return nil, usageError{fmt.Errorf("--topic %q names no topic", t)}
		}
		if p.parts == nil {
			p.parts = map[string][]int32{}
		}
		if p.parts[name] == nil {
			p.parts[name] = []int32{}
		}
		for _, text := range strings.Split(list, ",") {
			n, err := strconv.ParseInt(text, 10, 32)
			switch {
			case !some:
			case err != nil || n < 0:
				return nil, usageError{fmt.Errorf("--topic %q: %q is no partition; write TOPIC or TOPIC:0,2", t, text)}
			default:
				p.parts[name] = append(p.parts[name], int32(n))
			}
		}
	}
	return p, nil
}

func groupReset(c *cli.Context) error {
	p, err := planReset(c)
	if err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	if err := k.checkIdle(p); err != nil {
		return err
	}
	moves, err := k.planMoves(p)
	if err != nil {
		return err
	}
	if len(moves) == 0 {
		return fmt.Errorf("group %s has no offsets; name a topic with --topic", p.group)
	}
	ask := !c.Bool("dry-run") && !c.Bool("yes")
	if !out.json || c.Bool("dry-run") {
		if err := out.print(moves, moveRows(moves)...); err != nil {
			return err
		}
	}
	if c.Bool("dry-run") {
		out.note("nothing was changed; without --dry-run it would be")
		return nil
	}
	if ask {
		if err := confirm(c, fmt.Sprintf("Move the offsets of group %s?", p.group)); err != nil {
			return err
		}
	}
	if err := k.move(p.group, moves); err != nil {
		return err
	}
	if out.json {
		return out.encode(moves)
	}
	out.note("the offsets of group %s are moved", p.group)
	return nil
}

// checkIdle refuses groups with members. A group that does not exist yet comes
// to be with its offsets, if topics are named.
func (k *cluster) checkIdle(p *resetPlan) error {
	groups, err := k.groupsOf(p.group)
	if answered(err, "GROUP_ID_NOT_FOUND") && p.parts != nil && p.to != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.State != "Empty" || len(g.Members) > 0 {
			return fmt.Errorf("group %s is %s with %s; stop its consumers first, `varve group describe %s` shows them",
				g.Group, g.State, count(int64(len(g.Members)), "member"), g.Group)
		}
	}
	return nil
}

// planMoves works out the new offsets, by topic and partition.
func (k *cluster) planMoves(p *resetPlan) ([]moved, error) {
	ctx, cancel := k.ask()
	defer cancel()
	committed, err := k.admin.FetchOffsets(ctx, p.group)
	if err != nil {
		return nil, k.explain(err)
	}
	before := map[spot]int64{}
	for _, o := range committed.Sorted() {
		if o.Err == nil && o.At >= 0 {
			before[spot{o.Topic, o.Partition}] = o.At
		}
	}
	topics := p.topics(before)
	if len(topics) == 0 {
		return nil, nil
	}
	all, err := k.boundsOf(false, topics...)
	if err != nil {
		return nil, err
	}
	to := place{kind: placeStart}
	if p.to != nil {
		to = *p.to
	}
	l, err := k.locate(to, all, topics...)
	if err != nil {
		return nil, err
	}
	spots, err := p.spots(all, before)
	if err != nil {
		return nil, err
	}
	var moves []moved
	for _, s := range spots {
		m := moved{Topic: s.topic, Partition: s.partition, After: l.at(s)}
		at, has := before[s]
		if has {
			m.Before = &at
		}
		if p.to == nil {
			if !has {
				return nil, fmt.Errorf("group %s has no offset in %v that could be shifted; give --to PLACE", p.group, s)
			}
			m.After = place{kind: placeOffset, n: at + p.shift}.resolve(all[s], 0)
		}
		moves = append(moves, m)
	}
	return moves, nil
}

func (p *resetPlan) topics(before map[spot]int64) []string {
	var topics []string
	for t := range p.parts {
		topics = append(topics, t)
	}
	if p.parts == nil {
		for s := range before {
			topics = append(topics, s.topic)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// spots returns the partitions that are asked for, in order.
func (p *resetPlan) spots(all map[spot]bounds, before map[spot]int64) ([]spot, error) {
	if p.parts == nil {
		return sortedSpots(before), nil
	}
	var spots []spot
	for t, list := range p.parts {
		for _, n := range list {
			if _, found := all[spot{t, n}]; !found {
				return nil, fmt.Errorf("topic %s has no partition %d; `varve topic describe %s` shows what there is", t, n, t)
			}
			spots = append(spots, spot{t, n})
		}
		for s := range all {
			if s.topic == t && len(list) == 0 {
				spots = append(spots, s)
			}
		}
	}
	slices.SortFunc(spots, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return slices.Compact(spots), nil
}

func moveRows(moves []moved) [][]string {
	rows := [][]string{{"TOPIC", "PARTITION", "BEFORE", "AFTER"}}
	for _, m := range moves {
		rows = append(rows, []string{m.Topic, number(&m.Partition), number(m.Before), number(&m.After)})
	}
	return rows
}

// move commits the new offsets.
func (k *cluster) move(group string, moves []moved) error {
	offsets := kadm.Offsets{}
	for _, m := range moves {
		offsets.AddOffset(m.Topic, m.Partition, m.After, -1)
	}
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.CommitOffsets(ctx, group, offsets)
	if err != nil && kafkaCode(err) != "" {
		return blame("group "+group, err, "")
	}
	if err != nil {
		return k.explain(err)
	}
	var failed error
	answers.Each(func(o kadm.OffsetResponse) {
		if o.Err != nil && failed == nil {
			failed = blame("group "+group+", "+spot{o.Topic, o.Partition}.String(), o.Err, "")
		}
	})
	return failed
}
