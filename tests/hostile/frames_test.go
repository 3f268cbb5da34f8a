//go:build hostile

package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// malformedFrames sends lengths that nothing may be allocated for. The request
// before each of them is answered.
func malformedFrames(a *attack) {
	bad := [][]byte{
		header(-1, 0, 7, 2), header(-1<<31, 0, 7, 2), header(0, 3, 1, 2), header(7, 3, 1, 2), header(8, 3, 1, 2),
		header(1<<31-1, 0, 7, 2), header(requestMax+1, 0, 7, 2), header(requestMax, 3, 1, 2), header(10, -1, 0, 2),
		append(header(10, 3, 1, 2), 0x7f, 0xff),                                                       // client id past the end
		append(header(10, 3, 1, 2), 0x80, 0x00),                                                       // of negative length
		append(header(16, 3, 9, 2), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0),                      // 2^32 tagged fields
		append(header(18, 3, 9, 2), 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0),                // one of 4 GiB
		append(header(14, 3, 1, 2), 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff),                               // 2^31 topics
		append(header(22, 0, 7, 2), 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff), // produce to 2^31 topics
	}
	ended := 0
	for range 10 * a.scale {
		for _, b := range bad {
			c := a.dial()
			good := kmsg.NewPtrMetadataRequest()
			good.Topics = []kmsg.MetadataRequestTopic{}
			if err := c.send(append(request(good, 5, 1), b...)); err != nil {
				a.t.Error(err)
			}
			n, closed := c.answersUntilClosed(1, patience)
			if n < 1 || !closed {
				a.t.Errorf("%x: %d answers, closed %v", b, n, closed)
			}
			c.nc.Close()
			ended++
		}
	}
	a.wellFormed()
	a.met = fmt.Sprintf("%d closed after the answer to what came before", ended)
}

// otherProtocols speaks TLS and HTTP to the Kafka port.
func otherProtocols(a *attack) {
	n := 0
	for range 50 * a.scale {
		for _, b := range [][]byte{
			append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...),
			[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("POST /v1/plugins HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n"),
			[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []byte("SSH-2.0-OpenSSH_9.6\r\n"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00"),
		} {
			c := a.dial()
			_ = c.send(b)
			if !c.closed(patience) {
				a.t.Errorf("%.20q: not closed", b)
			}
			c.nc.Close()
			n++
		}
	}
	a.wellFormed()
	a.met = fmt.Sprintf("%d closed", n)
}

// unknownVersions asks for keys and versions that do not exist. ApiVersions
// answers so that the client can go on (KIP-511), everything else closes.
func unknownVersions(a *attack) {
	n := 0
	for _, version := range []int16{5, 99, 32767, -1} {
		c := a.dial()
		if err := c.send(frame(18, version, 7, false, []byte{1, 2, 3, 0xff})); err != nil {
			a.t.Fatal(err)
		}
		id, body, err := c.answer(patience)
		resp := kmsg.NewPtrApiVersionsResponse()
		if err == nil {
			err = resp.ReadFrom(body)
		}
		if err != nil || id != 7 || resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) == 0 {
			a.t.Errorf("ApiVersions version %d: %d %v %+v", version, id, err, resp)
		}
		c.call(apiVersions(), 3, kmsg.NewPtrApiVersionsResponse())
		c.nc.Close()
		n++
	}
	for key := int16(-2); key < 120; key++ {
		for _, version := range []int16{-1, 40, 32767} {
			if key == 18 {
				continue
			}
			c := a.dial()
			_ = c.send(frame(key, version, 1, false, nil))
			if !c.closed(patience) {
				a.t.Errorf("key %d version %d: not closed", key, version)
			}
			c.nc.Close()
			n++
		}
	}
	a.wellFormed()
	a.met = fmt.Sprintf("%d: ApiVersions answered with what is served, the rest closed", n)
}

// hostileArrays sends every request in every version with counts far beyond the
// frame, with noise, and with well-formed starts that break off.
func hostileArrays(a *attack) {
	c := a.dial()
	served := kmsg.NewPtrApiVersionsResponse()
	c.call(apiVersions(), 3, served)
	c.nc.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	n, answered := 0, 0
	for _, k := range served.ApiKeys {
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			q := kmsg.RequestForKey(k.ApiKey)
			q.SetVersion(v)
			for _, body := range hostileBodies(rng, q, a.scale) {
				c := a.dial()
				_ = c.send(append(frame(k.ApiKey, v, 1, q.IsFlexible(), body), request(apiVersions(), 3, 2)...))
				got, closed := c.twoAnswers(k.ApiKey)
				if got == 1 && closed || got == 0 && !closed && !waits(k.ApiKey) {
					a.t.Errorf("key %d version %d body %.40x: %d answers, closed %v", k.ApiKey, v, body, got, closed)
				}
				answered += min(got, 1)
				c.nc.Close()
				n++
			}
		}
	}
	a.wellFormed()
	a.met = fmt.Sprintf("%d bodies for %d keys: %d answered, %d closed", n, len(served.ApiKeys), answered, n-answered)
}

// apiVersions is a request with which clients begin.
func apiVersions() *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "hostile", "1"
	return q
}

// waits reports whether an answer to a key may take as long as the client says.
func waits(key int16) bool { return key == 1 || key == 11 || key == 14 }

// twoAnswers reads up to two answers, which must come in order.
func (r *raw) twoAnswers(key int16) (n int, closed bool) {
	r.t.Helper()
	for n < 2 {
		id, _, err := r.answer(time.Second)
		if err != nil {
			return n, !errors.Is(err, os.ErrDeadlineExceeded)
		}
		if id != int32(n+1) && key != 0 { // a produce with acks=0 has none
			r.t.Errorf("answer %d where %d is next", id, n+1)
		}
		n = int(id)
	}
	return n, false
}

// hostileBodies are bodies for one version of a request.
func hostileBodies(rng *rand.Rand, q kmsg.Request, scale int) [][]byte {
	fill := func(n int, pattern ...byte) []byte {
		b := make([]byte, 0, n)
		for len(b) < n {
			b = append(b, pattern...)
		}
		return b
	}
	whole := q.AppendTo(nil)
	bodies := [][]byte{
		fill(64, 0xff), fill(64, 0x7f, 0xff, 0xff, 0xff), fill(64, 0xff, 0xff, 0xff, 0xff, 0x0f), fill(64, 0x80), fill(40<<10, 0), fill(40<<10, 1), fill(40<<10, 0x02, 0x00),
		whole[:len(whole)/2], binary.BigEndian.AppendUint32(append([]byte(nil), whole...), 0x7fffffff),
	}
	for range 2 * scale {
		b := make([]byte, rng.IntN(200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		bodies = append(bodies, b)
		// A default request with one byte changed.
		if len(whole) > 0 {
			b = append([]byte(nil), whole...)
			b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
			bodies = append(bodies, b)
		}
	}
	return bodies
}
