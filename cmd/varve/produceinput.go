package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

// lineBytesMax bounds one line of the input.
const lineBytesMax = 64 << 20

// recordInput makes records of lines.
type recordInput struct {
	format      format // nil: JSON
	partition   int32
	key         []byte
	headers     []kgo.RecordHeader
	emptyIsNull bool
}

func newRecordInput(c *cli.Context) (*recordInput, error) {
	in := &recordInput{partition: int32(c.Int("partition")), emptyIsNull: c.Bool("empty-is-null")}
	separator := c.String("key-separator")
	switch {
	case c.IsSet("key-separator") && c.IsSet("format"):
		return nil, usageError{errors.New("--key-separator and --format contradict each other; leave one out")}
	case c.IsSet("key-separator"):
		text, err := parseFormat(separator, true)
		if err != nil || len(text) != 1 || text[0].field != 0 {
			return nil, usageError{fmt.Errorf("--key-separator %q is no text", separator)}
		}
		in.format = format{{field: 'k'}, text[0], {field: 'v'}}
	case c.String("format") != "json":
		f, err := parseFormat(c.String("format"), true)
		if err == nil {
			err = f.checkReadable()
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--format %q: %w", c.String("format"), err)}
		}
		in.format = f
	}
	if c.IsSet("key") {
		if in.format == nil || in.format.has('k') {
			return nil, usageError{errors.New("--key and keys in the lines contradict each other; leave one out")}
		}
		in.key = []byte(c.String("key"))
	}
	headers, err := pairs(c, "header")
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		in.headers = append(in.headers, kgo.RecordHeader{Key: name, Value: []byte(headers[name])})
	}
	return in, nil
}

// record makes a record of a line, whose bytes are the record's from then on.
func (in *recordInput) record(line []byte) (*kgo.Record, error) {
	r := &kgo.Record{Partition: in.partition, Key: in.key}
	var err error
	if in.format == nil {
		err = readJSON(line, r)
	} else {
		err = in.format.read(line, r)
	}
	if err != nil {
		return nil, err
	}
	if in.emptyIsNull && len(r.Value) == 0 {
		r.Value = nil
	}
	r.Headers = append(r.Headers, in.headers...)
	return r, nil
}

// lineSource is where lines come from.
type lineSource interface {
	io.Reader
	io.Closer
}

// openSource opens --file, or stdin.
func openSource(c *cli.Context) (lineSource, error) {
	name := c.String("file")
	if name == "" || name == "-" {
		return io.NopCloser(c.App.Reader), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError{fmt.Errorf("read --file: %w", err)}
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, usageError{fmt.Errorf("read --file: %s is a directory", name)}
	}
	return f, nil
}

// inputLine is one line without its end, or why there are no more.
type inputLine struct {
	text   []byte
	number int
	err    error
}

// readLines reads on a goroutine of its own, as nothing interrupts the reading
// of a terminal. The channel is closed at the end of the source or of ctx; a
// read that is blocked then lasts until the process ends.
func readLines(ctx context.Context, source io.Reader) <-chan inputLine {
	read, out := make(chan inputLine), make(chan inputLine)
	go func() {
		defer close(read)
		b := bufio.NewReaderSize(source, 1<<16)
		for n := 1; ; n++ {
			text, err := readLine(b)
			if err == io.EOF {
				return
			}
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			select {
			case read <- inputLine{text, n, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(out)
		for {
			select {
			case l, more := <-read:
				if !more {
					return
				}
				select {
				case out <- l:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

var errLongLine = fmt.Errorf("longer than %d bytes", lineBytesMax)

// readLine returns the next line as a slice of its own.
func readLine(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(line)+len(part) > lineBytesMax {
			return nil, errLongLine
		}
		line = append(line, part...)
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
		return line[:len(line)-1], nil
	}
}
