//go:build hostile

package hostile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// identified gives a batch a producer id, epoch 0 and sequence 0.
func identified(batch []byte, id int64) []byte {
	b := append([]byte(nil), batch...)
	binary.BigEndian.PutUint64(b[43:], uint64(id))
	binary.BigEndian.PutUint16(b[51:], 0)
	binary.BigEndian.PutUint32(b[53:], 0)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// topicFlood creates topics with more partitions than are allowed, and as many as
// it can of those that are, and asks for all settings of everything.
func topicFlood(a *attack) {
	var wg sync.WaitGroup
	var made, refused atomic.Int64
	stop := time.Now().Add(time.Duration(3*a.scale) * time.Second)
	for i := range 8 {
		c := a.dial()
		wg.Go(func() {
			defer c.nc.Close()
			for n := 0; time.Now().Before(stop); n++ {
				q := kmsg.NewPtrCreateTopicsRequest()
				q.TimeoutMillis = 10_000
				for k := range 50 {
					t := kmsg.NewCreateTopicsRequestTopic()
					t.Topic, t.NumPartitions, t.ReplicationFactor = fmt.Sprintf("flood-%d-%d-%d", i, n, k), 1, 1
					if k%2 == 1 {
						t.NumPartitions = 1<<31 - 1
					}
					q.Topics = append(q.Topics, t)
				}
				resp := kmsg.NewPtrCreateTopicsResponse()
				c.call(q, 5, resp)
				for k := range resp.Topics {
					if resp.Topics[k].ErrorCode == 0 {
						made.Add(1)
					} else {
						refused.Add(1)
						if err := kerr.ErrorForCode(resp.Topics[k].ErrorCode); k%2 == 0 && err == kerr.UnknownServerError {
							a.t.Error(err)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	c := a.dial()
	defer c.nc.Close()
	describe := kmsg.NewPtrDescribeConfigsRequest()
	for range 20_000 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, victimTopic
		describe.Resources = append(describe.Resources, r)
	}
	if err := c.send(request(describe, 3, 1)); err != nil {
		a.t.Error(err)
	}
	what := "answered"
	if _, body, err := c.answer(patience); err != nil {
		what = "closed"
	} else {
		what = fmt.Sprintf("answered with %d KiB", len(body)>>10)
	}
	a.conns = 8
	a.state = made.Load() * 24 << 10
	a.wellFormed()
	a.met = fmt.Sprintf("%d topics made, %d refused; 20,000 configs %s", made.Load(), refused.Load(), what)
}

// httpFlood opens connections to the HTTP port that never finish their headers,
// sends huge headers and bodies, and asks for metrics all the time.
func httpFlood(a *attack) {
	addr := strings.TrimPrefix(a.http, "http://")
	var conns []net.Conn
	for i := range 500 * a.scale {
		nc, err := dial(addr, 3)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { nc.Close() })
		switch i % 3 {
		case 0:
			_, _ = nc.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "))
		case 1:
			_, _ = nc.Write([]byte("PUT /v1/stages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{"))
		}
		conns = append(conns, nc)
	}
	a.conns = len(conns)
	// Uploads that are almost complete.
	module := "POST /v1/plugins HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n" + strings.Repeat("\x00", 15<<20)
	for range 60 * a.scale {
		nc, err := dial(addr, 3)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { nc.Close() })
		go io.WriteString(nc, module)
		conns = append(conns, nc)
	}
	header := strings.Repeat("x", 1<<20)
	statuses := map[string]int{}
	for _, q := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + header + "\r\n\r\n",
		"GET /" + header + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT /v1/stages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 20971520\r\n\r\n" + strings.Repeat(header, 20),
		"POST /v1/plugins HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	} {
		nc, err := dial(addr, 0)
		if err != nil {
			a.t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(3 * time.Second))
		go io.WriteString(nc, q) // it may be cut off
		line, status := make([]byte, 12), "none"
		if _, err := io.ReadFull(nc, line); err == nil {
			status = string(line[9:])
		}
		statuses[status]++
		nc.Close()
	}
	var wg sync.WaitGroup
	stop := time.Now().Add(2 * time.Second)
	var scraped atomic.Int64
	for range 20 {
		wg.Go(func() {
			for time.Now().Before(stop) {
				r, err := http.Get(a.http + "/metrics")
				if err != nil {
					a.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body.Close()
				scraped.Add(1)
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	a.wellFormed()
	closeAll(conns)
	a.met = fmt.Sprintf("%d slow connections, statuses %v, %d scrapes", len(conns), statuses, scraped.Load())
}
