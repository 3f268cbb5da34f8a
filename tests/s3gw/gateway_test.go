package s3gw

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/tiering/objstore"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// server is where the tests find an S3 server.
var server struct {
	endpoint, access, secret, bucket string
	run                              string // the prefix of this run
	external                         bool   // it is not the gateway in this process
}

func TestMain(m *testing.M) {
	server.run = strings.ToLower(rand.Text())
	server.endpoint = os.Getenv("S3_TEST_ENDPOINT")
	server.access = os.Getenv("S3_TEST_ACCESS_KEY")
	server.secret = os.Getenv("S3_TEST_SECRET_KEY")
	server.bucket = os.Getenv("S3_TEST_BUCKET")
	if server.bucket == "" {
		server.bucket = "varve-test"
	}
	if server.external = server.endpoint != ""; server.external {
		os.Exit(m.Run())
	}
	code, err := withGateway(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// withGateway runs the tests while a gateway serves a temporary directory.
func withGateway(run func() int) (int, error) {
	dir, err := os.MkdirTemp("", "s3gw")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return 0, err
	}
	be, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{})
	if err != nil {
		return 0, err
	}
	server.endpoint, server.access, server.secret = "http://"+addr, "key-of-the-test", "secret-of-the-test"
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess: server.access, RootUserSecret: server.secret,
			Ports: []string{addr}, Quiet: true, KeepAlive: true, HealthPath: "/health",
			MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10_000,
		})
	}()
	if err := healthy(ctx, "http://"+addr+"/health", ended); err != nil {
		cancel()
		return 0, err
	}
	code := run()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	return code, <-ended
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func healthy(ctx context.Context, url string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-ended:
			return fmt.Errorf("ended at its start: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("did not start: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var opened atomic.Int64

// options are those of the server, with parts so small that the suite's large
// objects have several.
func options() objstore.Options {
	return objstore.Options{
		AccessKey: server.access, SecretKey: server.secret,
		CreateBucket: true, PartBytes: 5 << 20, BackoffMax: 100 * time.Millisecond,
	}
}

// storeURL is that of a new and empty store at an endpoint.
func storeURL(endpoint string, more url.Values) string {
	q := url.Values{"endpoint": {endpoint}, "region": {"us-east-1"}}
	for name, values := range more {
		q[name] = values
	}
	return fmt.Sprintf("s3://%s/%s/%d?%s", server.bucket, server.run, opened.Add(1), q.Encode())
}

func open(t testing.TB, rawURL string, o objstore.Options) objstore.Store {
	t.Helper()
	st, err := objstore.Open(t.Context(), rawURL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}
