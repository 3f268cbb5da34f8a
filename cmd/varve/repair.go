package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/repair"
	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/vfs"
)

// exitRepair is the exit code of `varve repair` that found something to repair
// and changed nothing.
const exitRepair = 3

// errRepairNeeded ends a `varve repair` that found something and changed nothing.
var errRepairNeeded = errors.New("the data directory needs repair; nothing was changed")

// errUnrepairable ends a `varve repair` that cannot help.
var errUnrepairable = errors.New("the data directory cannot be repaired; nothing was changed")

func repairCommand() *cli.Command {
	return verb(&cli.Command{
		Name:  "repair",
		Usage: "find damage in a data directory, and give up what is lost",
		Description: `Run it when a broker refuses to start because its write-ahead log is corrupt, or
when partitions answer KAFKA_STORAGE_ERROR. The broker must be stopped. Everything
is read: write-ahead log, checkpoints, segments and indexes of every partition.
Then it says what is damaged, what would be lost, and what is whole.

With --dry-run nothing is changed. Without it, what can be put right without loss
is: a single flipped bit, for instance. If anything is lost, nothing is changed
without --accept-loss. Before you use that, try to get the damaged files back: from
a snapshot, a backup, or a disk that reads again. With --accept-loss the directory
is made usable again: what is whole stays, what is damaged is dropped, and a copy
of it goes to quarantine/ in the data directory, with the report. Groups that the
damage did not touch lose nothing. A partition that lost the end of its log goes on
behind what is left, in a new leader epoch; one whose segment is damaged has a hole
there, which consumers pass.

The exit code is 0 if there is nothing to repair or all was repaired, 3 if repair
is needed and nothing was changed, 1 if it failed or cannot be repaired. A repair
that was interrupted is simply run again. docs/repair.md tells more.

Examples:
   varve repair --data varve-data --dry-run
   varve repair --data varve-data --dry-run --output json
   varve repair --data varve-data --accept-loss
   varve repair --config /etc/varve.yaml`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "the data `DIR`; without it log.dirs, as for varve serve"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only report, change nothing"},
			&cli.BoolFlag{Name: "accept-loss", Usage: "repair, and give up what the report says is lost"},
			&cli.StringFlag{Name: "config", Usage: "read settings from a YAML `FILE`, as for varve serve"},
			&cli.StringFlag{Name: "properties", Usage: "read settings from a Kafka server.properties `FILE`"},
			&cli.StringSliceFlag{Name: "set", Usage: "set one setting, `NAME=VALUE`; may be repeated"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT` of what is printed: text or json", Value: "text"},
		},
		Action: runRepair,
	})
}

func runRepair(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError{fmt.Errorf("repair takes no arguments, got %q; the directory is given as --data DIR", c.Args().First())}
	}
	out, err := newOutput(c)
	if err != nil {
		return err
	}
	dir := c.String("data")
	if dir == "" {
		s, _, err := loadSettings(c)
		if err != nil {
			return usageError{err}
		}
		dir = s.LogDir
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("%s is no data directory; name it with --data DIR", dir)}
	}
	disk, err := vfs.OS(dir)
	if err != nil {
		return fmt.Errorf("open the data directory %s: %w", dir, err)
	}
	if closer, ok := disk.(io.Closer); ok {
		defer closer.Close()
	}
	fs := failpoint.FS(disk, dir)
	id, err := repair.ReadIdentity(fs)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	lock, err := fs.Lock("lock")
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("a broker uses %s; stop it first", dir)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	defer lock.Close()
	o := repair.Options{WAL: wal.DefaultSettings(), Node: id.Node}
	o.WAL.Directory = id.Directory
	o.WAL.Entropy = func() uint64 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		return binary.LittleEndian.Uint64(b[:])
	}
	return repairIn(c, out, fs, o)
}

// repairIn inspects a locked directory, and repairs it if that is asked for.
func repairIn(c *cli.Context, out output, fs vfs.FS, o repair.Options) error {
	r, err := repair.Inspect(fs, o)
	if err != nil {
		return err
	}
	act := r.Needed && r.Obstacle == "" && !c.Bool("dry-run") && (c.Bool("accept-loss") || !r.Loses())
	if act {
		if err := repair.Repair(fs, o, r); err != nil {
			return fmt.Errorf("%w; what was damaged is still there or in %s: run it again", err, r.Quarantine)
		}
	}
	if out.json {
		err = out.encode(r)
	} else {
		err = printRepair(out, r)
	}
	switch {
	case err != nil || act || !r.Needed:
		return err
	case r.Obstacle != "":
		return fmt.Errorf("%w: %s", errUnrepairable, r.Obstacle)
	}
	return errRepairNeeded
}

// printRepair prints a report for people.
func printRepair(out output, r *repair.Report) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(oneLine(fmt.Sprintf(format, args...)) + "\n") }
	if r.Refused {
		line("The write-ahead log is corrupt: a broker refuses to start.")
	}
	for _, d := range r.Log {
		hit := strings.Join(d.Names, ", ")
		switch {
		case d.AnyGroup && hit == "":
			hit = "cannot be told which groups"
		case d.AnyGroup:
			hit += " and perhaps others"
		case hit == "":
			hit = "nothing is lost there"
		}
		b.WriteString("  ")
		line("%s, byte %d (log position %d): %s; hit: %s", d.File, d.Offset, d.Position, d.Reason, hit)
	}
	if m := r.Metadata; m != nil {
		line("Cluster metadata: %s. Topics, settings and plugins of that time are as they were before.", lossText(&m.Loss))
		if len(m.Groups) > 0 {
			b.WriteString("  ")
			line("%d of the partitions that are on disk belong to no topic any more, since its creation is lost", len(m.Groups))
		}
	}
	for i := range r.Partitions {
		printPartition(line, &b, &r.Partitions[i])
	}
	for _, name := range r.Leftover {
		line("%s is left of an earlier repair.", name)
	}
	line("%s without damage.", count(int64(r.Whole), "partition"))
	switch {
	case !r.Needed:
		line("Nothing needs repair.")
	case r.Obstacle != "":
	case r.Quarantine != "":
		line("Repaired. What was damaged is in %s, with this report; remove it when you are sure that you do not need it.", r.Quarantine)
	case r.Loses():
		line("`varve repair --accept-loss` gives up what is lost, and keeps everything else.")
	default:
		line("`varve repair` without --dry-run puts it right; nothing is lost.")
	}
	_, err := fmt.Fprint(out.data, b.String())
	return err
}

func printPartition(line func(string, ...any), b *strings.Builder, p *repair.PartitionReport) {
	name := fmt.Sprintf("%s-%d", p.Topic, p.Partition)
	switch {
	case p.Problem != "":
		line("%s stays unreadable: %s", name, p.Problem)
	case p.Lost != nil:
		line("%s ends at offset %d: offsets from there on may have been acknowledged; %s.", name, p.End, lossText(p.Lost))
	default:
		line("%s has damaged files.", name)
	}
	for _, h := range p.Holes {
		b.WriteString("  ")
		line("lost: offsets %d to %d", h.First, h.End-1)
	}
	if p.Recovered > 0 {
		b.WriteString("  ")
		line("batches that the write-ahead log lost and its files still had: %d", p.Recovered)
	}
	if p.Rebuilt {
		b.WriteString("  ")
		line("no checkpoint of it is left: idempotent producers, undelivered dead letters and what is in the cold tier are forgotten")
	}
	if p.Uploads {
		b.WriteString("  ")
		line("segments that went to the cold tier since the last checkpoint may go there again; nothing names their first objects then")
	}
	if p.Letters {
		b.WriteString("  ")
		line("dead letters of what is lost are lost, and some may be delivered twice")
	}
	for _, d := range p.Segments {
		what := "lost"
		switch {
		case d.Rebuilt:
			what = "a broker makes it again, without loss"
		case d.Mended:
			what = "put right, without loss"
		case d.End <= d.First:
			what = "nothing is lost there"
		}
		b.WriteString("  ")
		line("%s, byte %d: %s; %s", d.File, d.Position, d.Reason, what)
	}
}

// lossText says what is known of a loss.
func lossText(l *repair.Loss) string {
	switch {
	case !l.Certain:
		return fmt.Sprintf("entries from index %d on may be lost, and nothing tells whether there were any", l.FirstIndex)
	case l.Entries == 1:
		return fmt.Sprintf("the entry at index %d is lost", l.FirstIndex)
	}
	return fmt.Sprintf("%d entries from index %d on are lost", l.Entries, l.FirstIndex)
}
