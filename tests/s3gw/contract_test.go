package s3gw

import (
	"net/url"
	"testing"

	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/objstore/objstoretest"
)

func TestContract(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		return open(t, storeURL(server.endpoint, nil), options())
	})
}

// Some stores know no checksums of uploads.
func TestContractChecksumWhenRequired(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		return open(t, storeURL(server.endpoint, url.Values{"checksum": {"when_required"}}), options())
	})
}
