//go:build hostile

package hostile

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// namesOf is a request for the metadata of n topics that do not exist.
func namesOf(n int) []byte {
	q := kmsg.NewPtrMetadataRequest()
	for i := range n {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(fmt.Sprintf("nothing-%06d", i))
		q.Topics = append(q.Topics, t)
	}
	return request(q, 9, 1)
}

// metadataOfNames asks for 100,000 topics in a request, which decodes to more
// than these budgets hold, and for as many as may be.
func metadataOfNames(a *attack) {
	requests := [][]byte{namesOf(100_000), namesOf(25_000)}
	var wg sync.WaitGroup
	var answered, closed atomic.Int64
	for i := range 40 * a.scale {
		c, b := a.dial(), requests[i%2]
		wg.Go(func() {
			defer c.nc.Close()
			_ = c.send(b)
			if _, _, err := c.answer(2 * patience); err != nil {
				closed.Add(1)
			} else {
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	a.wellFormed()
	a.met = fmt.Sprintf("requests of %d KiB closed (%d), of %d KiB answered (%d)", len(requests[0])>>10, closed.Load(), len(requests[1])>>10, answered.Load())
}

func joinOf(group string, metadata []byte) *kmsg.JoinGroupRequest {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.ProtocolType = group, "consumer"
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 6000, 6000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", metadata
	q.Protocols = append(q.Protocols, p)
	return q
}

// groupFlood joins thousands of groups with large metadata, and one group with
// thousands of members, and leaves without a word.
func groupFlood(a *attack) {
	var conns []net.Conn
	metadata := make([]byte, 64<<10)
	for i := range 32 {
		nc, err := dial(a.p.Addr(), 0)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { nc.Close() })
		conns = append(conns, nc)
		_ = i
	}
	a.conns = len(conns)
	var wg sync.WaitGroup
	var sent, answered atomic.Int64
	stop := time.Now().Add(time.Duration(5*a.scale) * time.Second)
	for i, nc := range conns {
		r := &raw{t: a.t, nc: nc}
		wg.Go(func() {
			for n := 0; time.Now().Before(stop); n++ {
				group := fmt.Sprintf("flood-%d-%d", i, n)
				if i%2 == 1 {
					group = "crowd"
				}
				_ = nc.SetWriteDeadline(stop)
				if _, err := nc.Write(request(joinOf(group, metadata), 3, int32(n))); err != nil {
					return
				}
				sent.Add(1)
			}
		})
		wg.Go(func() {
			for {
				if _, _, err := r.answer(time.Until(stop)); err != nil {
					return
				}
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	a.wellFormed()
	closeAll(conns)
	// What groups hold is bounded for each partition of __consumer_offsets.
	a.state, a.logs = groupState, 2*50
	a.met = fmt.Sprintf("%d joins of 64 KiB, %d answered", sent.Load(), answered.Load())
}

// groupState is what all groups together may hold: 32 MiB for each of the 50
// partitions of __consumer_offsets.
const groupState = 50 * 32 << 20

// commitFlood commits offsets with metadata beyond the bound, and with as much as
// is allowed, for many groups and topics.
func commitFlood(a *attack) {
	var conns []*raw
	for range 16 {
		conns = append(conns, a.dial())
	}
	a.conns = len(conns)
	var wg sync.WaitGroup
	var accepted, refused atomic.Int64
	stop := time.Now().Add(time.Duration(3*a.scale) * time.Second)
	for i, c := range conns {
		wg.Go(func() {
			defer c.nc.Close()
			for n := 0; time.Now().Before(stop); n++ {
				size := 4096
				if n%2 == 1 {
					size = 32 << 10 // the longest that the field takes, and above the bound
				}
				q := kmsg.NewPtrOffsetCommitRequest()
				q.Group, q.Generation = fmt.Sprintf("commits-%d-%d", i, n), -1
				t := kmsg.NewOffsetCommitRequestTopic()
				t.Topic = victimTopic
				for p := range int32(victimPartitions) {
					rp := kmsg.NewOffsetCommitRequestTopicPartition()
					rp.Partition, rp.Metadata = p, kmsg.StringPtr(strings.Repeat("m", size-1))
					t.Partitions = append(t.Partitions, rp)
				}
				q.Topics = append(q.Topics, t)
				if err := c.send(request(q, 5, int32(n))); err != nil {
					a.t.Error(err)
					return
				}
				_, body, err := c.answer(patience)
				resp := kmsg.NewPtrOffsetCommitResponse()
				resp.SetVersion(5)
				if err != nil || resp.ReadFrom(body) != nil || len(resp.Topics) != 1 {
					a.t.Errorf("commit: %v %x", err, body)
					return
				}
				if resp.Topics[0].Partitions[0].ErrorCode == 0 {
					accepted.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	a.wellFormed()
	if refused.Load() == 0 {
		a.t.Error("metadata beyond offset.metadata.max.bytes was accepted")
	}
	a.logs = 2 * 50
	a.state = min(groupState, accepted.Load()*victimPartitions*3*4096)
	a.met = fmt.Sprintf("%d commits of 12 KiB accepted, %d of 96 KiB refused", accepted.Load(), refused.Load())
}

// producerIDs takes producer ids and writes a record with each, so that the
// broker has to remember them.
func producerIDs(a *attack) {
	batch := noise(a, 10)
	var wg sync.WaitGroup
	var taken, written atomic.Int64
	stop := time.Now().Add(time.Duration(3*a.scale) * time.Second)
	a.createTopic("ids", 4)
	for range 16 {
		c := a.dial()
		wg.Go(func() {
			defer c.nc.Close()
			for time.Now().Before(stop) {
				id := kmsg.NewPtrInitProducerIDResponse()
				q := kmsg.NewPtrInitProducerIDRequest()
				q.TransactionalID = nil
				c.call(q, 1, id)
				taken.Add(1)
				resp := kmsg.NewPtrProduceResponse()
				c.call(produceTo("ids", 0, 4, identified(batch, id.ProducerID)), 7, resp)
				if resp.Topics[0].Partitions[0].ErrorCode == 0 {
					written.Add(1)
				}
			}
		})
	}
	wg.Wait()
	a.conns = 16
	a.state = written.Load() * 6 << 10
	a.wellFormed()
	a.met = fmt.Sprintf("%d ids taken, %d wrote to 4 partitions", taken.Load(), written.Load())
}
