package remote

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/varvelog/varve/internal/vfs"
)

// TestChunkFileGolden: the format of a file that outlives a broker.
func TestChunkFileGolden(t *testing.T) {
	id := ChunkID{Object: [16]byte{0xab, 15: 0xcd}, Offset: 4 << 20}
	const header = "564152564543484b01000000ec0232f1ab0000000000000000000000000000cd0000400000000000050000004cbb719a"
	if got := hex.EncodeToString(appendChunkHeader(nil, id, []byte("hello"))); got != header {
		t.Errorf("header %s", got)
	}
	const name = "ab0000000000000000000000000000cd-0000000000400000.chunk"
	if got := chunkName(id); got != name {
		t.Errorf("name %s", got)
	}
	if got, ok := parseChunkName(name); !ok || got != id {
		t.Errorf("%v, %v", got, ok)
	}
	for _, bad := range []string{"", ".chunk", name + "x", "AB" + name[2:], "0" + name, name[:33] + "f" + name[34:], name[:32] + "+" + name[33:]} {
		if _, ok := parseChunkName(bad); ok {
			t.Errorf("name %q is accepted", bad)
		}
	}
}

// FuzzReadChunk: a file is the chunk that was written, or refused.
func FuzzReadChunk(f *testing.F) {
	id := ChunkID{Object: [16]byte{1, 2, 3}, Offset: 77}
	good := append(appendChunkHeader(nil, id, []byte("some bytes")), "some bytes"...)
	f.Add(good)
	f.Add(good[:50])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem(vfs.MemOptions{})
		file, err := mem.Create("c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		into := make([]byte, 10)
		err = readChunk(mem, "c", id, into)
		same := len(b) >= len(good) && bytes.Equal(b[:len(good)], good)
		if err == nil && !bytes.Equal(appendChunkHeader(nil, id, into), b[:chunkHeaderBytes]) {
			t.Errorf("accepted %x", b)
		}
		if same && err != nil || err != nil && !errors.Is(err, errChunk) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzIndexEntry: what Badger returns is an entry that was written, or refused.
func FuzzIndexEntry(f *testing.F) {
	f.Add(appendUseKey(nil, chunkID(3)), appendUse(nil, use{n: 5, usedMs: 1 << 40}))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if id, ok := parseUseKey(key); ok && !bytes.Equal(appendUseKey(nil, id), key) {
			t.Errorf("key %x", key)
		}
		if u, ok := parseUse(value); ok && !bytes.Equal(appendUse(nil, u), value) {
			t.Errorf("value %x", value)
		}
	})
}
