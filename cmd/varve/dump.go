package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/ident"
)

func dumpCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "dump", Usage: "print what files of a data directory hold, without a broker", ArgsUsage: "FILE...",
		Description: `Reads segments (.log), their indexes (.index), files of the write-ahead log (.wal)
and segment objects of the cold tier. Every line is one item, and says at which
byte of the file it begins. Files are only read, and a broker may be using them:
then what it is writing just now looks unfinished.

Damage is a line of its own, and the exit code is 1. Behind the end of an active
segment, or of the write-ahead log, remains of an earlier crash may lie; they are
named, and are no damage as far as the file alone can tell.

Examples:
   varve dump varve-data/partitions/*/00000000000000000000.log
   varve dump varve-data/partitions/*/*.index --output json
   varve dump varve-data/wal/0000000000000001.wal
   varve dump 00000000000000000000.log --records`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "records", Aliases: []string{"r"}, Usage: "print the records in record batches too"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT` of what is printed: text, or json, an object a line", Value: "text"},
		},
		Action: dump,
	})
}

// dumpFormat is a kind of file. Its dump writes items and damage to a dumper; an
// error is one of reading or writing.
type dumpFormat struct {
	name  string
	match func(name string, head []byte) bool
	dump  func(d *dumper) error
}

// dumpFormats are tried in order: by magic where there is one, else by name.
var dumpFormats = []dumpFormat{
	{"index", func(name string, head []byte) bool {
		return bytes.HasPrefix(head, []byte(indexMagic)) || strings.HasSuffix(name, ".index")
	}, dumpIndex},
	{"write-ahead log", func(name string, head []byte) bool {
		return bytes.HasPrefix(head, []byte(wal.FileMagic)) || strings.HasSuffix(name, wal.Suffix)
	}, dumpWAL},
	{"segment object", func(_ string, head []byte) bool { return bytes.HasPrefix(head, []byte(objectMagic)) }, dumpObject},
	{"segment", func(name string, head []byte) bool { return strings.HasSuffix(name, ".log") || looksLikeBatch(head) }, dumpSegment},
}

func dump(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		return usageError{fmt.Errorf("FILE is missing; usage: %s %s", c.Command.HelpName, c.Command.ArgsUsage)}
	}
	out, err := newOutput(c)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out.data, 1<<16)
	damaged, hurt := int64(0), int64(0)
	for i, name := range names {
		if len(names) > 1 && !out.json {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s:\n", name)
		}
		n, err := dumpFile(w, name, out.json, c.Bool("records"))
		if flushErr := w.Flush(); err == nil {
			err = flushErr
		}
		if err != nil {
			return err
		}
		if n > 0 {
			damaged, hurt = damaged+n, hurt+1
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%s in %s", count(damaged, "damaged place"), count(hurt, "file"))
	}
	return nil
}

// dumpFile dumps one file and returns how many places are damaged.
func dumpFile(w *bufio.Writer, name string, json, records bool) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, usageError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, usageError{fmt.Errorf("%s is no file; name the files in it", name)}
	}
	d := &dumper{w: w, file: name, in: f, size: info.Size(), json: json, records: records}
	err = d.run()
	return d.damaged, err
}

// run finds out what the file is, and dumps it.
func (d *dumper) run() error {
	head := make([]byte, min(d.size, 4096))
	if err := d.read(head, 0); err != nil {
		return err
	}
	for _, f := range dumpFormats {
		if f.match(filepath.Base(d.file), head) {
			return f.dump(d)
		}
	}
	return usageError{fmt.Errorf("%s is none of: segment (.log), index (.index), write-ahead log (.wal), segment object", d.file)}
}

// dumper prints the items of one file.
type dumper struct {
	w       *bufio.Writer
	file    string
	in      io.ReaderAt
	size    int64
	json    bool
	records bool
	sealed  bool // nothing but what belongs there may be in the file
	// named is what the index says of base offsets, by position; nil: nothing.
	named map[int64]ident.Offset

	damaged int64
	buffer  []byte
}

// damagedMost bounds how many damaged places are printed one by one.
const damagedMost = 1000

// read fills b from the position, all of which lies in the file.
func (d *dumper) read(b []byte, position int64) error {
	n, err := d.in.ReadAt(b, position)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s at byte %d: %w", d.file, position, err)
}

// damage prints where the file is damaged.
func (d *dumper) damage(position int64, format string, args ...any) error {
	if d.damaged++; d.damaged > damagedMost {
		return nil
	}
	return d.item("damage", position, field{"file", d.file}, field{"reason", fmt.Sprintf(format, args...)})
}
