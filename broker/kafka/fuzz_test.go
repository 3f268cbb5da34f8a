package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/broker/wire"
)

// pipeListener accepts connections without sockets, of which a fuzzer would use
// up the ports.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// servePipe serves connections that dial makes, until the test ends.
func (r *dataRig) servePipe(t testing.TB) (dial func() net.Conn) {
	l := newPipeListener()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.server.Serve("PLAINTEXT", l)
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return func() net.Conn {
		client, server := net.Pipe()
		l.conns <- server
		_ = client.SetDeadline(r.deadline())
		return client
	}
}

// lentTB is the testing.TB of whichever test uses a rig just now. What is to be
// cleaned up waits for the rig's own end.
type lentTB struct {
	testing.TB
	cleanups []func()
}

func (l *lentTB) Cleanup(f func()) { l.cleanups = append(l.cleanups, f) }

func (l *lentTB) end() {
	for len(l.cleanups) > 0 {
		f := l.cleanups[len(l.cleanups)-1]
		l.cleanups = l.cleanups[:len(l.cleanups)-1]
		f()
	}
}

// A fuzzRig is a broker that serves some hundreds of inputs: to start one for
// each would take most of the time, and one for all would fill up.
type fuzzRig struct {
	*dataRig
	tb   lentTB
	dial func() net.Conn
	uses int
}

const fuzzRigUses = 200

// lend returns the rig for a test, a new one if need be.
func (f *fuzzRig) lend(t testing.TB) {
	f.tb.TB = t
	if f.uses++; f.dataRig != nil && f.uses < fuzzRigUses && f.server.Stats().Connections == 0 {
		f.log.reset()
		return
	}
	f.tb.end()
	f.dataRig, f.uses = newDataRig(&f.tb), 0
	f.instant = true
	f.Command(metadata.CreateTopic{Name: seedTopic, TopicID: seedTopicID, Partitions: 2, ReplicationFactor: 1}, f.must)
	f.dial = f.servePipe(&f.tb)
	batch := rigBatch(t, rigParams(), "a", "b")
	q := rigProduce(seedTopic, seedTopicID, 0, batch)
	q.SetVersion(9)
	nc := f.dial()
	defer nc.Close()
	if _, err := nc.Write(rigFrame(produceKey, 9, 1, true, q.AppendTo(nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(nc); err != nil {
		t.Fatal(err)
	}
}

func (l *rigLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// readFrame reads a response with its correlation id.
func readFrame(nc net.Conn) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(nc, b)
	return b, err
}

// responses sends frames and returns what comes until the connection ends or
// the last of them is answered, letting time pass for what waits.
func (f *fuzzRig) responses(t *testing.T, last int32, frames ...[]byte) [][]byte {
	nc := f.dial()
	defer nc.Close()
	go func() {
		for _, b := range frames {
			if _, err := nc.Write(b); err != nil {
				return
			}
		}
	}()
	var out [][]byte
	done := make(chan error, 1)
	go func() {
		for {
			b, err := readFrame(nc)
			if err == nil {
				out = append(out, b)
			}
			if err != nil || len(b) < 4 || int32(binary.BigEndian.Uint32(b)) == last {
				done <- err
				return
			}
		}
	}()
	for step := time.Second; ; {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				t.Fatalf("%v after %d responses", err, len(out))
			}
			return out
		case <-time.After(time.Millisecond):
			if step < 1000*time.Hour {
				f.groups.advance(step)
				step *= 32
			}
		}
	}
}

// FuzzDataRequest and its siblings send a body of any version of the keys that
// they are named for to a broker. Each is answered once, in order
// and in its own format, or its connection closes because it does not decode (R4);
// no handler panics; what it decodes to is no more than it is charged for (R1, K3);
// and nothing stays charged when the connection is gone (R2).
func FuzzDataRequest(f *testing.F) {
	f.Add(int16(apiVersionsKey), int16(99), []byte{7})
	f.Add(int16(-1), int16(0), []byte{})
	f.Add(int16(3), int16(9), append([]byte("\xff\x1f"), make([]byte, 1<<12)...)) // a count that is a lie
	fuzzRequests(f, dataAPIs())
}

// FuzzGroupRequest: see FuzzDataRequest.
func FuzzGroupRequest(f *testing.F) {
	f.Add(int16(12), int16(4), []byte("\x02g\x00\x00\x00\x00\x02m\x00\xff\xff\xff\xff\x0f")) // of tagged fields
	fuzzRequests(f, groupAPIs())
}

// FuzzAdminRequest: see FuzzDataRequest.
func FuzzAdminRequest(f *testing.F) {
	fuzzRequests(f, adminAPIs())
}

// TestRequestSeeds sends every seed, of every key and version.
func TestRequestSeeds(t *testing.T) {
	var rig fuzzRig
	t.Cleanup(rig.tb.end)
	for _, s := range requestSeeds(t) {
		rig.check(t, s.key, s.version, s.body)
	}
}

// fuzzRequests sends bodies to APIs. Of each version a full one is a seed, and of
// the newest one of defaults: more take all of a short run to begin.
func fuzzRequests(f *testing.F, of []api) {
	newest := map[int16]int16{}
	for _, a := range of {
		newest[a.key] = a.max
	}
	for i, s := range requestSeeds(f) {
		if last, ok := newest[s.key]; ok && (i%2 == 1 || s.version == last) {
			f.Add(s.key, s.version, s.body)
		}
	}
	var rig fuzzRig
	f.Cleanup(rig.tb.end)
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		// Nearly all numbers are no key and no version, and are refused at once.
		if key >= 0 && version >= 0 {
			a := of[int(key)%len(of)]
			if _, ok := newest[key]; !ok {
				key = a.key
			}
			if last := newest[key]; version > last+1 {
				version %= last + 2
			}
		}
		rig.check(t, key, version, body)
	})
}

// check sends one request and another behind it, and judges what comes.
func (f *fuzzRig) check(t *testing.T, key, version int16, body []byte) {
	known := Known(key, version).Known
	decoded := known && checkDecode(t, key, version, body)
	f.lend(t)
	q := kmsg.RequestForKey(key)
	flexible := false
	if q != nil {
		q.SetVersion(version)
		flexible = q.IsFlexible()
	}
	const first, last = 1, 2
	out := f.responses(t, last, rigFrame(key, version, first, flexible, body), rigFrame(apiVersionsKey, 0, last, false, nil))
	if log := f.log.String(); strings.Contains(log, "panic") {
		t.Fatal(log)
	}
	switch quiet := mayStaySilent(key, version, body); {
	case key == apiVersionsKey && !known:
		version, decoded = 0, true
		fallthrough
	case decoded && !quiet:
		if len(out) != 2 {
			t.Fatalf("key %d version %d: %d responses to two requests\n%s", key, version, len(out), f.log)
		}
		checkResponse(t, key, version, first, out[0])
	case !decoded && len(out) != 0:
		t.Fatalf("key %d version %d: %d responses to what does not decode", key, version, len(out))
	case quiet && len(out) > 1:
		t.Fatalf("%d responses where the first request wants none", len(out))
	}
	if len(out) > 0 {
		checkResponse(t, apiVersionsKey, 0, last, out[len(out)-1])
	}
	for end := f.deadline(); f.server.Stats() != (wire.Stats{}); time.Sleep(20 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("still held: %+v", f.server.Stats())
		}
	}
}

// checkDecode decodes a body as its handler does, reports whether it decodes,
// and checks that this takes no more memory than the request is charged for.
func checkDecode(t *testing.T, key, version int16, body []byte) bool {
	t.Helper()
	run := func() error {
		_, err := parseProduce(version, body)
		return err
	}
	if key != produceKey {
		c := &Call{Request: &wire.Request{Key: key, Version: version, Body: body}}
		q := kmsg.RequestForKey(key)
		run = func() error { return decode(c, q) }
	}
	// What else allocates at the same time, and the rounding up of small sizes.
	const slack = 64 << 10
	most := uint64(len(body)*Known(key, version).MemoryFactor + slack)
	var err error
	var least uint64
	for try := range 5 { // whatever goes on beside it
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = run()
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; try == 0 || got < least {
			least = got
		}
		if least <= most {
			return err == nil
		}
	}
	t.Fatalf("key %d version %d: %d bytes decode to %d, charged %d", key, version, len(body), least, most-slack)
	return false
}

// mayStaySilent reports whether a request wants no response: Produce with
// acks=0.
func mayStaySilent(key, version int16, body []byte) bool {
	if key != produceKey || !Known(key, version).Known {
		return false
	}
	f, err := parseProduce(version, body)
	return err == nil && f.acks == acksNone
}

// checkResponse checks that b is the response of a request, header and body,
// without a byte too much.
func checkResponse(t *testing.T, key, version int16, correlation int32, b []byte) {
	t.Helper()
	r := kmsg.ResponseForKey(key)
	r.SetVersion(version)
	if len(b) < 4 || int32(binary.BigEndian.Uint32(b)) != correlation {
		t.Fatalf("key %d version %d: %x is no response to request %d", key, version, b, correlation)
	}
	b = b[4:]
	if r.IsFlexible() && key != apiVersionsKey {
		if len(b) == 0 || b[0] != 0 {
			t.Fatalf("key %d version %d: header of the response: %x", key, version, b)
		}
		b = b[1:]
	}
	if err := r.ReadFrom(b); err != nil {
		t.Fatalf("key %d version %d: %v in %x", key, version, err, b)
	}
	if again := r.AppendTo(nil); !bytes.Equal(again, b) {
		t.Fatalf("key %d version %d: %x is read as %x", key, version, b, again)
	}
}
