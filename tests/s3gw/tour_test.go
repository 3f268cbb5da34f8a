package s3gw

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/tests/broker"
	"github.com/varvelog/varve/tests/tour"
)

// TestTour runs the README's tour with the cold tier on the S3 server.
func TestTour(t *testing.T) {
	bin, err := broker.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tier := storeURL(server.endpoint, nil)
	bucket := open(t, tier, options()) // makes the bucket
	http := fmt.Sprintf("127.0.0.1:%d", broker.FreePort(t))
	p := broker.Start(t, broker.Options{Bin: bin, Dir: t.TempDir(), Settings: []string{"http.listen=" + http, "tier.url=" + tier}, Env: environment()})
	tour.Run(t, bin, p.Addr(), "http://"+http)
	if count(t, bucket) < 10 {
		t.Errorf("%d objects in the bucket", count(t, bucket))
	}
	p.Stop(t)
}

// environment holds the server's credentials, as a broker gets them.
func environment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + server.access, "AWS_SECRET_ACCESS_KEY=" + server.secret, "AWS_EC2_METADATA_DISABLED=true"}
}
