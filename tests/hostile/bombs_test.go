//go:build hostile

package hostile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// expanded is what a bomb unpacks to, but for snappy, which cannot pack that
// much into a batch.
const expanded = 1 << 30

var codecs = map[string]int16{"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

// packer returns a compressor onto w.
func packer(codec string, w io.Writer) (io.WriteCloser, error) {
	switch codec {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "lz4":
		z := lz4.NewWriter(w)
		return z, z.Apply(lz4.ConcurrencyOption(1), lz4.BlockSizeOption(lz4.Block4Mb))
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("no codec %s", codec)
}

// pack compresses one record whose value is n zero bytes, in so many frames one
// behind the other. The length says what is there, so that nothing but a bound on
// the output stops it.
func pack(a *attack, codec string, n int64, frames int) []byte {
	a.t.Helper()
	inner := []byte{0, 0, 0, 1} // attributes, timestamp, offset, key: null
	inner = binary.AppendVarint(inner, n)
	head := append(binary.AppendVarint(nil, int64(len(inner))+n+1), inner...)
	zeros := make([]byte, 1<<20)
	if codec == "snappy" {
		return snappy.Encode(nil, append(head, make([]byte, n+1)...))
	}
	var out bytes.Buffer
	for f := range frames {
		w, err := packer(codec, &out)
		if err != nil {
			a.t.Fatal(err)
		}
		if f == 0 {
			_, _ = w.Write(head)
		}
		for left := n / int64(frames); left > 0; left -= int64(len(zeros)) {
			_, _ = w.Write(zeros[:min(left, int64(len(zeros)))])
		}
		if f == frames-1 {
			_, _ = w.Write(zeros[:1+n%int64(frames)])
		}
		if err := w.Close(); err != nil {
			a.t.Fatal(err)
		}
	}
	return out.Bytes()
}

// batchOf puts compressed records into a batch.
func batchOf(codec int16, records []byte) []byte {
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, Attributes: codec, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: records,
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// put sends a request to the broker's HTTP interface.
func (a *attack) put(path, body string) (status int, text string) {
	a.t.Helper()
	q, err := http.NewRequestWithContext(a.t.Context(), http.MethodPut, a.http+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// chained makes a topic whose chain looks into every record.
func (a *attack) chained(topic string) {
	a.t.Helper()
	a.createTopic(topic, 1, "max.message.bytes=33554432")
	stage := `{"plugin": "builtin/redact", "hook": "transform", "parameters": {"fields": ["secret"]}, "on_failure": "dead-letter"}`
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		status, text := a.put("/v1/stages/redact-bombs", stage)
		if status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			a.t.Fatalf("stage: %d %s", status, text)
		}
	}
	if status, text := a.put("/v1/topics/"+topic+"/chain", `{"stages": ["redact-bombs"]}`); status != http.StatusOK {
		a.t.Fatalf("chain: %d %s", status, text)
	}
}

// bombs produces small batches that unpack to a lot: one frame, many frames one
// behind the other, and one that is just within what is allowed, to a plain
// topic, one that is recompressed, and one with a chain.
func bombs(codec string) func(*attack) {
	return func(a *attack) {
		a.createTopic("plain", 1, "max.message.bytes=33554432")
		a.createTopic("again", 1, "max.message.bytes=33554432", "compression.type=uncompressed")
		a.chained("chained")
		size, limit := int64(expanded), int64(decompressMax)
		if codec == "snappy" {
			size = 8 * limit
		}
		batches := [][]byte{
			batchOf(codecs[codec], pack(a, codec, size, 1)),
			batchOf(codecs[codec], pack(a, codec, limit-1024, 1)),
			batchOf(codecs[codec], pack(a, codec, size/16, 64)),
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		accepted, refused, closed := 0, 0, 0
		for range 3 * a.scale {
			for _, topic := range []string{"plain", "again", "chained"} {
				for _, batch := range batches {
					c := a.dial()
					wg.Go(func() {
						defer c.nc.Close()
						_ = c.send(request(produceTo(topic, 0, 1, batch), 7, 1))
						_, body, err := c.answer(2 * patience)
						resp := kmsg.NewPtrProduceResponse()
						resp.SetVersion(7)
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err != nil:
							closed++
						case resp.ReadFrom(body) != nil || len(resp.Topics) != 1:
							a.t.Errorf("an answer that does not decode: %x", body)
						case resp.Topics[0].Partitions[0].ErrorCode == 0:
							accepted++
						default:
							refused++
						}
					})
				}
			}
		}
		wg.Wait()
		a.conns = 27 * a.scale
		if refused == 0 || closed > 0 {
			a.t.Errorf("%d accepted, %d refused, %d closed", accepted, refused, closed)
		}
		a.wellFormed()
		a.met = fmt.Sprintf("batches of %d to %d KiB: %d refused, %d within bounds", len(batches[1])>>10, len(batches[0])>>10, refused, accepted)
	}
}

// growingBatches produces requests of thousands of tiny batches that the topic
// stores uncompressed: each is within bounds, and all together are gigabytes.
func growingBatches(a *attack) {
	a.createTopic("again", 4, "compression.type=uncompressed")
	batch := batchOf(codecs["zstd"], pack(a, "zstd", 1_000_000, 1))
	q := produceTo("again", 0, 4, batch)
	t := &q.Topics[0]
	for len(t.Partitions) < 1500 {
		t.Partitions = append(t.Partitions, t.Partitions[len(t.Partitions)%4])
	}
	b := request(q, 7, 1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted, refused := 0, 0
	for range 2 * a.scale {
		c := a.dial()
		wg.Go(func() {
			defer c.nc.Close()
			_ = c.send(b)
			_, body, err := c.answer(2 * patience)
			resp := kmsg.NewPtrProduceResponse()
			resp.SetVersion(7)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || resp.ReadFrom(body) != nil || len(resp.Topics) != 1 {
				a.t.Errorf("answer of %d bytes: %v", len(body), err)
				return
			}
			for i := range resp.Topics[0].Partitions {
				if resp.Topics[0].Partitions[i].ErrorCode == 0 {
					accepted++
				} else {
					refused++
				}
			}
		})
	}
	wg.Wait()
	a.conns = 2 * a.scale
	a.wellFormed()
	if refused == 0 {
		a.t.Error("nothing was refused")
	}
	a.met = fmt.Sprintf("requests of %d KiB that grow to 1.4 GiB: %d batches refused, %d accepted", len(b)>>10, refused, accepted)
}
