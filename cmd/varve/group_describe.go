package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func groupDescribeCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "describe", Usage: "show the state, members, offsets and lag of groups", ArgsUsage: "GROUP...",
		Description: `LAG is how many offsets the group has yet to read: those between its own and the end
of the partition; there is none before something is committed. JSON is always a list.

Examples:
   varve group describe billing
   varve group describe billing shipping --output json`,
		Flags: kafkaFlags(), Action: groupDescribe,
	})
}

type describedGroup struct {
	Group        string           `json:"group"`
	State        string           `json:"state"`
	ProtocolType string           `json:"protocol_type"`
	Protocol     string           `json:"protocol"`
	Coordinator  int32            `json:"coordinator"`
	Members      []groupMember    `json:"members"`
	Partitions   []groupPartition `json:"partitions"`
	TotalLag     int64            `json:"total_lag"`
}

type groupMember struct {
	ID         string `json:"id"`
	InstanceID string `json:"instance_id,omitempty"`
	ClientID   string `json:"client_id"`
	Host       string `json:"host"`
	Partitions int    `json:"partitions"`
}

type groupPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset"` // null: nothing is committed
	End       *int64 `json:"log_end_offset"`
	Lag       *int64 `json:"lag"`
	Member    string `json:"member,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Host      string `json:"host,omitempty"`
	Error     string `json:"error,omitempty"`
}

func groupDescribe(c *cli.Context) error {
	names, err := atLeastOne(c, "GROUP")
	if err != nil {
		return err
	}
	k, out, err := openAdmin(c)
	if err != nil {
		return err
	}
	defer k.close()
	if _, err := k.groupsOf(names...); err != nil {
		return err
	}
	ctx, cancel := k.ask()
	defer cancel()
	lags, err := k.admin.Lag(ctx, names...)
	if err != nil {
		return k.explain(err)
	}
	var list []describedGroup
	for _, l := range lags.Sorted() {
		if err := l.Error(); err != nil {
			return blame("group "+l.Group, err, "")
		}
		list = append(list, describeGroup(l))
	}
	if out.json {
		return out.encode(list)
	}
	for i, g := range list {
		if i > 0 {
			fmt.Fprintln(out.data)
		}
		if err := printGroup(out, g); err != nil {
			return err
		}
	}
	return nil
}

func describeGroup(l kadm.DescribedGroupLag) describedGroup {
	g := describedGroup{
		Group: l.Group, State: l.State, ProtocolType: l.ProtocolType, Protocol: l.Protocol, Coordinator: l.Coordinator.NodeID,
		Members: []groupMember{}, Partitions: []groupPartition{},
	}
	for _, m := range l.Members {
		n := groupMember{ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, Host: strings.TrimPrefix(m.ClientHost, "/")}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				n.Partitions += len(t.Partitions)
			}
		}
		g.Members = append(g.Members, n)
	}
	for _, p := range l.Lag.Sorted() {
		if p.Commit.At < 0 && p.Member == nil && p.Err == nil {
			continue // nobody reads it, and nothing is committed
		}
		q := groupPartition{Topic: p.Topic, Partition: p.Partition}
		if p.Commit.At >= 0 {
			q.Offset = &p.Commit.At
		}
		if p.End.Err == nil && p.End.Offset >= 0 {
			q.End = &p.End.Offset
		}
		if p.Lag >= 0 && q.Offset != nil {
			q.Lag = &p.Lag
			g.TotalLag += p.Lag
		}
		if p.Err != nil {
			q.Error = blame("", p.Err, "").Error()
		}
		if m := p.Member; m != nil {
			q.Member, q.ClientID, q.Host = m.MemberID, m.ClientID, strings.TrimPrefix(m.ClientHost, "/")
		}
		g.Partitions = append(g.Partitions, q)
	}
	return g
}

func printGroup(out output, g describedGroup) error {
	err := out.print(nil, []string{"group", g.Group}, []string{"state", g.State}, []string{"assignor", g.Protocol},
		[]string{"coordinator", strconv.Itoa(int(g.Coordinator))}, []string{"members", strconv.Itoa(len(g.Members))},
		[]string{"total lag", strconv.FormatInt(g.TotalLag, 10)})
	if err != nil {
		return err
	}
	if len(g.Members) > 0 {
		rows := [][]string{{"MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"}}
		for _, m := range g.Members {
			rows = append(rows, []string{m.ID, m.InstanceID, m.ClientID, m.Host, strconv.Itoa(m.Partitions)})
		}
		fmt.Fprintln(out.data)
		if err := out.print(nil, rows...); err != nil {
			return err
		}
	}
	if len(g.Partitions) == 0 {
		return nil
	}
	rows := [][]string{{"TOPIC", "PARTITION", "OFFSET", "LOG-END", "LAG", "MEMBER"}}
	for _, p := range g.Partitions {
		member := p.Member
		if p.Error != "" {
			member = p.Error
		}
		rows = append(rows, []string{p.Topic, number(&p.Partition), number(p.Offset), number(p.End), number(p.Lag), member})
	}
	fmt.Fprintln(out.data)
	return out.print(nil, rows...)
}
