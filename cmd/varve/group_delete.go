package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func groupDeleteCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "delete", Usage: "delete groups that have no members, with their offsets", ArgsUsage: "GROUP...",
		Description: `It asks first.

Examples:
   varve group delete billing
   varve group delete billing shipping --yes`,
		Flags: kafkaFlags(yesFlag()), Action: groupDelete,
	})
}

type deletedGroup struct {
	Group string `json:"group"`
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

func groupDelete(c *cli.Context) error {
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
	if err := confirm(c, fmt.Sprintf("Delete group %s with all offsets?", strings.Join(names, ", "))); err != nil {
		return err
	}
	ctx, cancel := k.ask()
	defer cancel()
	answers, err := k.admin.DeleteGroups(ctx, names...)
	if err != nil && len(answers) == 0 {
		return k.explain(err)
	}
	list, rows := []deletedGroup{}, [][]string{{"GROUP", "STATUS"}}
	var failed []error
	for _, a := range answers.Sorted() {
		d := deletedGroup{Group: a.Group, Done: a.Err == nil}
		if a.Err != nil {
			err := blame("group "+a.Group, a.Err, a.ErrMessage)
			d.Error = err.Error()
			failed = append(failed, err)
		} else {
			rows = append(rows, []string{a.Group, "deleted"})
		}
		list = append(list, d)
	}
	if len(rows) > 1 || out.json {
		if err := out.print(list, rows...); err != nil {
			return err
		}
	}
	if err := errors.Join(failed...); err != nil {
		return errors.New(oneLine(err.Error()))
	}
	return nil
}
