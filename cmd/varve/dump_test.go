package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/varvelog/varve/broker/wal"
	"github.com/varvelog/varve/internal/record"
)

// dataDir is the directory of a broker that stopped: a topic with sealed
// segments, a filtered one, and what the write-ahead log holds of them.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	kafka, http, stop := startBrokerIn(t, dir)
	s := kafkaShell{t, kafka}
	s.must("", "topic create big --partitions 1 --config segment.bytes=1048576 --config max.message.bytes=100000")
	s.must("", "topic create sparse --partitions 1")
	shell{t, http}.awaitPlugin("builtin/filter")
	shell{t, http}.must(nil, "plugin", "attach", "builtin/filter", "--topic", "sparse", "--parameters", `{"keep": {"json": "$.keep", "equals": true}}`)
	s.must(strings.Repeat("{\"keep\": true}\n{\"keep\": false}\n", 2), "produce sparse --key k --quiet")
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "%06d %s\n", i, strings.Repeat("x", 700))
	}
	s.must(lines.String(), "produce big --quiet")
	s.must("", "topic trim sparse --offset 1 --yes")
	stop()
	return dir
}

// files returns the files that match a pattern, at least one.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	return names
}

func TestDump(t *testing.T) {
	dir := dataDir(t)
	for _, pattern := range []string{"partitions/*/*.log", "partitions/*/*.index", "wal/*.wal"} {
		for _, args := range [][]string{{}, {"--records"}, {"-o", "json"}, {"-o", "json", "-r"}} {
			got := run("", append(append([]string{"dump"}, files(t, dir, pattern)...), args...)...)
			if got.err != nil || got.out == "" || got.notes != "" {
				t.Errorf("%s %q: %v, %d bytes", pattern, args, got.err, len(got.out))
			}
			if len(args) > 0 && args[0] == "-o" {
				d := json.NewDecoder(strings.NewReader(got.out))
				for d.More() {
					var item map[string]any
					if err := d.Decode(&item); err != nil || item["item"] == nil {
						t.Fatalf("%s: %v in %v", pattern, err, item)
					}
				}
			}
		}
	}
	logs := run("", append([]string{"dump", "-r"}, files(t, dir, "partitions/*/*.log")...)...).out
	if n := strings.Count(logs, "\nrecord offset="); n != 3000+2 {
		t.Errorf("%d records, want 3002", n)
	}
	for _, want := range []string{"record offset=2 timestamp=2", `key="k" value="{\"keep\": true}"`, `value="002999 xxx`, "codec=none crc=ok", "...(707 bytes)"} {
		if !strings.Contains(logs, want) {
			t.Errorf("the segments lack %q", want)
		}
	}
	index := run("", append([]string{"dump"}, files(t, dir, "partitions/*/*.index")...)...).out
	for _, want := range []string{"index position=0 version=1 base_offset=0\n", "\nentry position=40 offset=0 segment_position=0 max_timestamp=2", "\nfooter position="} {
		if !strings.Contains(index, want) {
			t.Errorf("the indexes lack %q:\n%.2000s", want, index)
		}
	}
	wal := run("", append([]string{"dump", "-r"}, files(t, dir, "wal/*.wal")...)...).out
	for _, want := range []string{
		"file position=0 version=1 sequence=1 base=0 bytes=8388608 ", "\nwrite position=4096 ", "\nappend position=", "command=CreateTopic", `kind="new leader"`,
		`kind="chained batch"`, "kind=batch ", `kind="log start"`, "\nproof position=", "\nstate position=", "\ncheckpoint position=", "\nunused position=", "record offset=0 ",
	} {
		if !strings.Contains(wal, want) {
			t.Errorf("the write-ahead log lacks %q", want)
		}
	}
}

// TestDumpDamage flips bytes, cuts and zeroes, and wants each found where it is.
func TestDumpDamage(t *testing.T) {
	dir := dataDir(t)
	sealed, index, wal := "", "", files(t, dir, "wal/*.wal")[0]
	for _, name := range files(t, dir, "partitions/*/*.index") {
		if log := strings.TrimSuffix(name, ".index") + ".log"; strings.Contains(run("", "dump", name).out, "\nfooter ") {
			sealed, index = log, name
			break
		}
	}
	if sealed == "" {
		t.Fatal("no segment is sealed")
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x55; return b }
	}
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		want       string
	}{
		{"record", sealed, flip(500), "damage position=0 "},
		{"magic of a batch", sealed, flip(16), "no batch begins here that is whole"},
		{"length of a batch", sealed, flip(8), "no batch begins here that is whole"},
		{"base offset of a batch", sealed, flip(3), "where the index has 0"},
		{"leader epoch of a batch", sealed, flip(13), "leader epoch 1 behind"},
		{"cut segment", sealed, func(b []byte) []byte { return b[:len(b)-100] }, "bytes by its index"},
		{"zeros in a segment", sealed, func(b []byte) []byte { clear(b[:4096]); return b }, "damage position=0 "},
		{"header of an index", index, flip(17), "the checksum of the header is wrong"},
		{"magic of an index", index, flip(0), "the magic is not VARVEIDX"},
		{"block of an index", index, flip(44), "the checksum of a block"},
		{"count of a block", index, flip(33), "no block begins here"},
		{"footer", index, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "the checksum of the footer is wrong"},
		{"cut footer", index, func(b []byte) []byte { return b[:len(b)-9] }, "the footer has 47 bytes"},
		{"header of a log", wal, flip(30), "the checksum of the header is wrong"},
		{"first write", wal, flip(4096 + 20), "proves that one was durable"},
		{"record of the first write", wal, flip(4096 + 100), "the record's checksum, generation or position is wrong"},
		{"cut log", wal, func(b []byte) []byte { return b[:len(b)-4096] }, "the header says 8388608 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(t.TempDir(), filepath.Base(c.file))
			writeFile(t, copied, c.change(b))
			if c.file == sealed { // its index says how long it is
				b, err := os.ReadFile(index)
				if err != nil {
					t.Fatal(err)
				}
				writeFile(t, strings.TrimSuffix(copied, ".log")+".index", b)
			}
			got := run("", "dump", copied)
			if got.err == nil || exitCode(got.err) != exitFailed || !strings.Contains(got.err.Error(), "in 1 file") {
				t.Errorf("%v", got.err)
			}
			at := strings.Index(got.out, "damage position=")
			if at < 0 || !strings.Contains(got.out, c.want) || !strings.Contains(got.out[at:], "file="+copied) {
				t.Errorf("lacks %q: %.600s", c.want, got.out[max(at, 0):])
			}
		})
	}
}

// TestDumpUnsealed: of the active segment nobody knows where it ends.
func TestDumpUnsealed(t *testing.T) {
	batch := testBatch(t, 2)
	second := bytes.Clone(batch)
	if err := record.SetPlacement(second, 2, 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
		bad  bool
	}{
		{"padding", append(bytes.Clone(batch), make([]byte, 100)...), "padding position=", false},
		{"half a batch", append(bytes.Clone(batch), second[:65]...), "unfinished position=", false},
		{"less than a header", append(bytes.Clone(batch), second[:30]...), "remains position=", false},
		{"remains", append(bytes.Clone(batch), "abc"...), "remains position=", false},
		{"a hole in it", append(append(bytes.Clone(batch), 0, 0, 7), second...), "the next one does 3 bytes further on", true},
		{"twice the same offsets", append(bytes.Clone(batch), batch...), "offsets 0 to 1 do not follow offset 1", true},
		{"empty", nil, "", false},
	} {
		name := filepath.Join(t.TempDir(), "00000000000000000000.log")
		writeFile(t, name, c.data)
		got := run("", "dump", name)
		if (got.err != nil) != c.bad || !strings.Contains(got.out, c.want) {
			t.Errorf("%s: %v\n%s", c.name, got.err, got.out)
		}
	}
	renamed := filepath.Join(t.TempDir(), "any name")
	writeFile(t, renamed, batch)
	if got := run("", "dump", renamed); got.err != nil || !strings.Contains(got.out, "batch position=0 base_offset=0 last_offset=1 records=2") {
		t.Errorf("a batch in a file of any name: %+v", got)
	}
}

// TestDumpQuotesHeaderNames: the name of a record's header is its producer's, and
// could say anything on a terminal, such as another line.
func TestDumpQuotesHeaderNames(t *testing.T) {
	b := record.NewBuilder(record.DefaultParams(record.None, 0))
	err := b.Append(&record.Record{Value: []byte("v"), Headers: []record.RecordHeader{{Key: []byte("a\ndamage position=0 \x1b[2J"), Value: []byte("w")}}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "00000000000000000000.log")
	writeFile(t, name, batch)
	got := run("", "dump", "--records", name)
	if want := ` "header:a\ndamage position=0 \x1b[2J"=`; got.err != nil || !strings.Contains(got.out, want) {
		t.Errorf("lacks %s: %+v", want, got)
	}
	checkDumped(t, []byte(got.out), false)
}

// FuzzDump: no file makes dump fail other than by saying what is damaged, and what
// it prints are lines of JSON, or of plain text that begin with what they are. Seal
// makes checksums right, so that what lies behind them is tried.
func FuzzDump(f *testing.F) {
	batch := testBatch(f, 2)
	f.Add(uint8(0), true, batch)
	f.Add(uint8(8), true, append(append([]byte{1}, batch...), batch...))
	f.Add(uint8(1), true, append([]byte(indexMagic+"\x01\x00\x00\x00"), make([]byte, 100)...))
	f.Add(uint8(2), true, walSeed())
	f.Add(uint8(3), false, testObject(f))
	dumps := []func(*dumper) error{dumpSegment, dumpIndex, dumpWAL, dumpObject}
	seals := []func([]byte){sealBatches, sealIndex, sealWAL, func([]byte) {}}
	f.Fuzz(func(t *testing.T, which uint8, seal bool, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		kind := int(which) % len(dumps)
		if seal {
			seals[kind](data)
		}
		var out bytes.Buffer
		d := &dumper{w: bufio.NewWriter(&out), file: "x", in: bytes.NewReader(data), size: int64(len(data)), json: which&8 != 0, records: true}
		if err := errors.Join(dumps[kind](d), d.w.Flush()); err != nil {
			t.Error(err)
		}
		checkDumped(t, out.Bytes(), d.json)
	})
}

// checkDumped checks the lines that dump printed.
func checkDumped(t *testing.T, out []byte, asJSON bool) {
	t.Helper()
	for line := range bytes.Lines(out) {
		line, ended := bytes.CutSuffix(line, []byte("\n"))
		if !ended || asJSON && !json.Valid(line) {
			t.Fatalf("%q is no line of JSON", line)
		}
		if asJSON {
			continue
		}
		word, _, _ := strings.Cut(string(line), " ")
		if !plainWord(word) || strings.ContainsFunc(string(line), func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Fatalf("%q is no line of plain text", line)
		}
	}
}

// sealBatches makes the checksums of batches right, from the front on.
func sealBatches(b []byte) {
	for len(b) >= record.HeaderSize {
		h, err := record.ParseHeader(b)
		if err != nil || h.Size() > len(b) {
			return
		}
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:h.Size()], castagnoli))
		b = b[h.Size():]
	}
}

// sealIndex makes the checksums of an index's header and blocks right.
func sealIndex(b []byte) {
	le := binary.LittleEndian
	if len(b) < indexHeader {
		return
	}
	le.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	for b = b[indexHeader:]; len(b) >= indexBlock; {
		size := indexBlock + int64(le.Uint32(b))*indexEntryBytes
		if size > int64(len(b)) {
			return
		}
		le.PutUint32(b[4:], crcAround(b[:size], 4))
		b = b[size:]
	}
}

// sealWAL makes the checksums of a file of a write-ahead log right, of its first
// write and of that one's records.
func sealWAL(b []byte) {
	le := binary.LittleEndian
	if len(b) < wal.Block+wal.WriteHeaderBytes {
		return
	}
	le.PutUint32(b[12:], crcAround(b[:80], 12))
	w := b[wal.Block:]
	le.PutUint32(w[4:], crcAround(w[4:wal.WriteHeaderBytes], 0))
	for r := w[wal.WriteHeaderBytes:]; len(r) >= 48; {
		size := 48 + int64(le.Uint32(r[4:]))
		if size > int64(len(r)) {
			return
		}
		le.PutUint32(r, crcAround(append(make([]byte, 4), r[4:size]...), 0))
		r = r[size:]
	}
}

// walSeed is a file of a write-ahead log with one write, whose record has a right
// checksum and a body that is none.
func walSeed() []byte {
	le := binary.LittleEndian
	b := make([]byte, 8192)
	copy(b, wal.FileMagic)
	le.PutUint32(b[8:], 1)
	le.PutUint64(b[40:], uint64(len(b)))
	le.PutUint32(b[12:], crcAround(b[:80], 12))
	w := b[4096:]
	r := w[wal.WriteHeaderBytes : wal.WriteHeaderBytes+48+40]
	le.PutUint32(r[4:], 40)
	le.PutUint64(r[16:], 4096+wal.WriteHeaderBytes)
	r[40] = 1
	le.PutUint32(r, crcAround(append(make([]byte, 4), r[4:]...), 0))
	copy(w, wal.WriteMagic)
	le.PutUint64(w[16:], 4096)
	le.PutUint32(w[40:], uint32(len(r)))
	le.PutUint32(w[44:], 1)
	le.PutUint32(w[4:], crcAround(w[4:wal.WriteHeaderBytes], 0))
	return b
}
