package main

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/segfile"
)

// testObject is a segment object of three batches.
func testObject(t testing.TB) []byte {
	t.Helper()
	var data []byte
	for i := range 3 {
		batch := testBatch(t, 2)
		if err := record.SetPlacement(batch, int64(10+2*i), 4); err != nil {
			t.Fatal(err)
		}
		data = append(data, batch...)
	}
	o, err := segfile.Build(segfile.Source{
		Cluster: "cluster", Topic: "orders", Partition: ident.Partition{Topic: ident.TopicID{1, 2}, Index: 3},
		Base: 10, End: 20, Term: 4, ID: manifest.ID{5, 6}, Data: bytes.NewReader(data), DataBytes: int64(len(data)),
		Epochs: []segfile.Epoch{{Epoch: 4, Start: 10}},
	}, segfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDumpObject(t *testing.T) {
	whole := testObject(t)
	name := filepath.Join(t.TempDir(), "object")
	writeFile(t, name, whole)
	got := run("", "dump", name, "-r")
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, want := range []string{
		"object position=0 topic_id=01020000000000000000000000000000 partition=3 base_offset=10 term=4 upload_id=05060000000000000000000000000000\n",
		"tail position=", " cluster=cluster topic=orders base_offset=10 end_offset=20 ", "\nepoch epoch=4 start_offset=10\n",
		"\nbatch position=64 base_offset=10 last_offset=11 ", "\nrecord offset=15 ",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("lacks %q:\n%s", want, got.out)
		}
	}
	for at, want := range map[int]string{
		20: "damage position=0 ", 64 + 70: "damage position=64 ", 64 + 16: "damage position=64 ", len(whole) - 30: "the tail: ",
	} {
		b := bytes.Clone(whole)
		b[at] ^= 0x55
		writeFile(t, name, b)
		if got := run("", "dump", name); got.err == nil || exitCode(got.err) != exitFailed || !strings.Contains(got.out, want) {
			t.Errorf("byte %d: %v, want %q:\n%s", at, got.err, want, got.out)
		}
	}
	writeFile(t, name, whole[:len(whole)-5])
	if got := run("", "dump", name); got.err == nil || !strings.Contains(got.out, "the tail: ") {
		t.Errorf("cut: %v\n%s", got.err, got.out)
	}
}
