package objstore_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/objstore/objstoretest"
)

func open(t testing.TB, url string, o objstore.Options) objstore.Store {
	t.Helper()
	st, err := objstore.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func openDir(t testing.TB, dir string) objstore.Store {
	t.Helper()
	return open(t, "file://"+filepath.ToSlash(dir), objstore.Options{})
}

func TestContractMem(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		return open(t, "mem://", objstore.Options{})
	})
}

func TestContractFile(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		return openDir(t, filepath.Join(t.TempDir(), "new", "store"))
	})
}

// A Faulty without faults is its inner store, also where its own code does the
// work: bodies in pieces, and a stale list of which nothing is stale.
func TestContractFaulty(t *testing.T) {
	pieces := func(int64) error { return nil }
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		return objstore.NewFaulty(open(t, "mem://", objstore.Options{}), func(_ context.Context, op objstore.Op) objstore.Fault {
			if op.N%2 == 0 {
				return objstore.Fault{}
			}
			return objstore.Fault{Body: pieces}
		})
	})
}
