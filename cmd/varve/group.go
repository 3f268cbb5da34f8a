package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

func groupCommand() *cli.Command {
	return group("group", "show consumer groups, move or delete their offsets", "",
		groupListCommand(), groupDescribeCommand(), groupResetCommand(), groupDeleteCommand())
}

func groupListCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "list", Usage: "list consumer groups", ArgsUsage: " ",
		Description: "Examples:\n   varve group list\n   varve group list --state Empty --output json",
		Flags: kafkaFlags(
			&cli.StringSliceFlag{Name: "state", Usage: "only groups in the `STATE` Stable, Empty, Dead, PreparingRebalance or CompletingRebalance; may be repeated"},
		),
		Action: groupList,
	})
}

type listedGroup struct {
	Group       string `json:"group"`
	State       string `json:"state"`
	Protocol    string `json:"protocol_type"`
	Coordinator int32  `json:"coordinator"`
}

func groupList(c *cli.Context) error {
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
	found, err := k.admin.ListGroups(ctx, c.StringSlice("state")...)
	if err != nil {
		return k.explain(err)
	}
	list, rows := []listedGroup{}, [][]string{{"GROUP", "STATE", "PROTOCOL", "COORDINATOR"}}
	for _, g := range found.Sorted() {
		list = append(list, listedGroup{g.Group, g.State, g.ProtocolType, g.Coordinator})
		rows = append(rows, []string{g.Group, g.State, g.ProtocolType, strconv.Itoa(int(g.Coordinator))})
	}
	return out.print(list, rows...)
}

// groupsOf returns what the cluster says of groups that all must exist, sorted by
// name. A group that nobody knows is described as dead.
func (k *cluster) groupsOf(names ...string) ([]kadm.DescribedGroup, error) {
	ctx, cancel := k.ask()
	defer cancel()
	found, err := k.admin.DescribeGroups(ctx, names...)
	if err != nil && len(found) == 0 {
		return nil, k.explain(err)
	}
	list := slices.SortedFunc(maps.Values(found), func(a, b kadm.DescribedGroup) int { return cmp.Compare(a.Group, b.Group) })
	for _, g := range list {
		switch {
		case g.Err != nil && kafkaCode(g.Err) == "":
			return nil, k.explain(g.Err)
		case g.Err != nil:
			return nil, blame("group "+g.Group, g.Err, "")
		case g.State == "Dead":
			return nil, &answerError{"GROUP_ID_NOT_FOUND", "group " + g.Group + ": does not exist; " + remedies["GROUP_ID_NOT_FOUND"]}
		}
	}
	return list, nil
}
