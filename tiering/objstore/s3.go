package objstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob/s3blob"
)

const (
	attemptsDefault   = 4
	backoffMaxDefault = 5 * time.Second
	stallDefault      = 60 * time.Second
	partBytesDefault  = 8 << 20
	partBytesMin      = 5 << 20  // what S3 demands of all parts but the last
	partBytesMax      = 16 << 20 // some stores take no larger chunk
	partsMax          = 10_000
	s3ObjectBytesMax  = partBytesMax * partsMax
	connsPerHostMax   = 64
)

// s3Store is a Store over one bucket of S3. Listings and deletions go through
// gocloud.dev; writes, ranges and Head go to the SDK, for less copying, for
// conditions on multipart uploads and for the store's checksums.
type s3Store struct {
	*bucketStore
	c         *s3.Client
	transport *http.Transport
	bucket    string
	attempts  int
	partBytes int64
	checksum  bool // uploads carry a CRC32C
}

// s3URL is what the URL of an S3 store says.
type s3URL struct {
	bucket, base     string
	region, endpoint string
	pathStyle        bool
	checksum         bool
}

func parseS3URL(u *url.URL) (s3URL, error) {
	p := s3URL{bucket: u.Host, base: strings.Trim(u.Path, "/"), checksum: true}
	if p.bucket == "" || u.Port() != "" {
		return p, fmt.Errorf("the URL needs a bucket: %w", ErrInvalid)
	}
	if p.base != "" {
		if err := CheckKey(p.base); err != nil {
			return p, fmt.Errorf("prefix: %w", err)
		}
		p.base += "/"
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, fmt.Errorf("parameters: %w", ErrInvalid)
	}
	p.region, p.endpoint = q.Get("region"), q.Get("endpoint")
	p.pathStyle = p.endpoint != ""
	for name, values := range q {
		if len(values) != 1 {
			return p, fmt.Errorf("parameter %s is given %d times: %w", clean(name), len(values), ErrInvalid)
		}
		v, bad := values[0], false
		switch name {
		case "region":
		case "endpoint":
			bad = !validEndpoint(v)
		case "path_style":
			p.pathStyle = v == "true"
			bad = v != "true" && v != "false"
		case "checksum":
			p.checksum = v == "crc32c"
			bad = v != "crc32c" && v != "when_required"
		default:
			return p, fmt.Errorf("unknown parameter %s: %w", clean(name), ErrInvalid)
		}
		if bad {
			return p, fmt.Errorf("parameter %s has a wrong value: %w", name, ErrInvalid)
		}
	}
	return p, nil
}

func validEndpoint(raw string) bool {
	e, err := url.Parse(raw)
	return err == nil && (e.Scheme == "http" || e.Scheme == "https") && e.Hostname() != "" &&
		e.User == nil && strings.Trim(e.Path, "/") == "" && e.RawQuery == "" && e.Fragment == ""
}

func openS3(ctx context.Context, u *url.URL, o Options) (Store, error) {
	p, err := parseS3URL(u)
	if err != nil {
		return nil, err
	}
	cfg, err := s3Config(ctx, p, o)
	if err != nil {
		return nil, err
	}
	tr := cfg.HTTPClient.(*awshttp.BuildableClient).GetTransport()
	cfg.HTTPClient = &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s := &s3Store{
		c: s3.NewFromConfig(cfg, func(so *s3.Options) {
			so.UsePathStyle = p.pathStyle
			if p.endpoint != "" {
				so.BaseEndpoint = aws.String(p.endpoint)
			}
		}),
		transport: tr,
		bucket:    p.bucket,
		attempts:  attempts(o),
		partBytes: min(max(orDefault(o.PartBytes, partBytesDefault), partBytesMin), partBytesMax),
		checksum:  p.checksum,
	}
	b, err := s3blob.OpenBucket(ctx, s.c, p.bucket, nil)
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", ErrInvalid)
	}
	secrets := []string{o.SecretKey, o.SessionToken, o.AccessKey}
	s.bucketStore = &bucketStore{
		b:          b,
		base:       p.base,
		startAfter: startAfter,
		classify:   func(op, key string, err error) error { return classifyS3(op, key, err, secrets) },
	}
	if o.CreateBucket {
		if err := s.createBucket(ctx, cfg.Region, p.endpoint != ""); err != nil {
			_ = s.Close()
			return nil, err
		}
	}
	return s, nil
}

// s3Config joins what is ambient with what was given, which goes first.
func s3Config(ctx context.Context, p s3URL, o Options) (aws.Config, error) {
	required := aws.RequestChecksumCalculationWhenSupported
	if !p.checksum {
		required = aws.RequestChecksumCalculationWhenRequired
	}
	opts := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(httpClient(orDefault(o.StallTimeout, stallDefault))),
		config.WithRequestChecksumCalculation(required),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(ro *retry.StandardOptions) {
				ro.MaxAttempts = attempts(o)
				ro.MaxBackoff = orDefault(o.BackoffMax, backoffMaxDefault)
				ro.Retryables = append(ro.Retryables, retry.RetryableHTTPStatusCode{
					Codes: map[int]struct{}{http.StatusTooManyRequests: {}},
				})
			})
		}),
	}
	if p.region != "" {
		opts = append(opts, config.WithRegion(p.region))
	}
	if o.AccessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		// The text is about the machine's own AWS files, and may quote them.
		return cfg, fmt.Errorf("ambient AWS configuration cannot be used: %w", ErrInvalid)
	}
	if cfg.Region == "" {
		if p.endpoint == "" {
			return cfg, fmt.Errorf("no region in the URL or in the environment: %w", ErrInvalid)
		}
		cfg.Region = "us-east-1"
	}
	return cfg, nil
}

// httpClient bounds connections and waiting; requests as a whole are bounded by
// their context only, since a part may take long on a slow line that moves.
func httpClient(stall time.Duration) *awshttp.BuildableClient {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stallConn{Conn: c, stall: stall}, nil
		}
		tr.TLSHandshakeTimeout = 10 * time.Second
		tr.ResponseHeaderTimeout = stall
		tr.IdleConnTimeout = 45 * time.Second
		tr.MaxIdleConns = connsPerHostMax
		tr.MaxIdleConnsPerHost = connsPerHostMax / 2
		tr.MaxConnsPerHost = connsPerHostMax
		tr.DisableCompression = true
	})
}

// stallConn ends when nothing moved in either direction for a while.
type stallConn struct {
	net.Conn
	stall time.Duration
}

func (c *stallConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.stall)) // on a closed connection Read says so
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	// A request under way moves the deadline of the answer that is waited for.
	_ = c.SetDeadline(time.Now().Add(c.stall))
	return c.Conn.Write(p)
}

func (s *s3Store) createBucket(ctx context.Context, region string, anyRegion bool) error {
	in := &s3.CreateBucketInput{Bucket: aws.String(s.bucket)}
	if !anyRegion && region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(region),
		}
	}
	_, err := s.c.CreateBucket(ctx, in)
	if err == nil {
		return nil
	}
	if err = s.fail(ctx, "create bucket", "", err); errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

func startAfter(after string) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if as(&in) && in.ContinuationToken == nil {
			in.StartAfter = aws.String(after)
		}
		return nil
	}
}

func (s *s3Store) Close() error {
	err := s.bucketStore.Close()
	s.transport.CloseIdleConnections()
	return err
}

func attempts(o Options) int { return orDefault(max(o.Attempts, 0), attemptsDefault) }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
