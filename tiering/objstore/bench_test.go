package objstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
)

func BenchmarkFilePut64MiB(b *testing.B) {
	st := openDir(b, b.TempDir())
	body := bytes.NewReader(make([]byte, 64<<20))
	b.SetBytes(body.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := st.Put(b.Context(), "a/b", body, body.Size(), objstore.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFileGetRange(b *testing.B) {
	st := openDir(b, b.TempDir())
	body := bytes.NewReader(make([]byte, 16<<20))
	if _, err := st.Put(b.Context(), "a/b", body, body.Size(), objstore.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("%dMiB", n>>20), func(b *testing.B) {
			into := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if err := st.GetRange(b.Context(), "a/b", 1<<20, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
