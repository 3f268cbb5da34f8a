package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

// testBatch is a record batch with so many records.
func testBatch(t testing.TB, n int) []byte {
	t.Helper()
	b := record.NewBuilder(record.DefaultParams(record.None, 0))
	for i := range n {
		if err := b.Append(&record.Record{OffsetDelta: int32(i), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Finish(-1)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// testProduce is the frame of a request for two partitions, and of its answer.
func testProduce(t testing.TB, version int16) (request, response []byte) {
	t.Helper()
	q := kmsg.NewPtrProduceRequest()
	q.SetVersion(version)
	q.Acks = -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = "orders", [16]byte{1, 2, 3}
	for i, n := range []int{1, 3} {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), testBatch(t, n)
		topic.Partitions = append(topic.Partitions, p)
	}
	q.Topics = append(q.Topics, topic)
	request = kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, 77)

	r := q.ResponseKind().(*kmsg.ProduceResponse)
	answer := kmsg.NewProduceResponseTopic()
	answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
	ok := kmsg.NewProduceResponseTopicPartition()
	bad := kmsg.NewProduceResponseTopicPartition()
	all, why := "one is bad", "no JSON"
	bad.Partition, bad.ErrorCode, bad.ErrorMessage = 1, codeInvalidRecord, &all
	for _, m := range []*string{&why, nil} {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = int32(len(bad.ErrorRecords)+1), m
		bad.ErrorRecords = append(bad.ErrorRecords, e)
	}
	answer.Partitions = append(answer.Partitions, ok, bad)
	r.Topics = append(r.Topics, answer)
	body := binary.BigEndian.AppendUint32(nil, 77)
	if r.IsFlexible() {
		body = append(body, 0)
	}
	body = r.AppendTo(body)
	return request, append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// TestRefusals reads the reasons of refused records from the bytes of every
// version, whatever the pieces are in which they come.
func TestRefusals(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for _, piece := range []int{1, 3, 8, 1 << 20} {
			request, response := testProduce(t, version)
			r := &refusals{}
			other := append([]byte{0, 0, 0, 9}, make([]byte, 9)...) // an answer to something else
			stream := bytes.Join([][]byte{other, response, other}, nil)
			c := &watchedConn{Conn: &pipe{in: bytes.NewReader(stream)}, refused: r, asked: map[int32]askedProduce{}}
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(struct{ io.Reader }{&pieces{c, piece}}); err != nil || !bytes.Equal(got, stream) {
				t.Fatalf("version %d: the client reads %d bytes of %d, %v", version, len(got), len(stream), err)
			}
			want := []string{otherRecordRefused, "no JSON (X)", "one is bad (X)", refusedWithoutWords + " (X)"}
			if version < firstRecordErrors {
				want = []string{refusedWithoutWords + " (X)", refusedWithoutWords + " (X)", refusedWithoutWords + " (X)"}
			}
			for i, w := range want {
				if got := r.reason(1, "X"); got != w {
					t.Errorf("version %d, pieces of %d, record %d: %q, want %q", version, piece, i, got, w)
				}
			}
			if got := r.reason(0, "X"); got != refusedWithoutWords+" (X)" {
				t.Errorf("version %d: partition 0 has %q", version, got)
			}
		}
	}
}

// pipe is a connection that reads what it was given.
type pipe struct {
	net.Conn
	in io.Reader
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return len(b), nil }

// pieces reads at most n bytes at once.
type pieces struct {
	r io.Reader
	n int
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func FuzzRefusals(f *testing.F) {
	for _, version := range []int16{3, 8, 9, 13} {
		request, response := testProduce(f, version)
		f.Add(request, response)
	}
	f.Fuzz(func(t *testing.T, request, response []byte) {
		r := &refusals{}
		c := &watchedConn{Conn: &pipe{in: bytes.NewReader(response)}, refused: r, asked: map[int32]askedProduce{}}
		_, _ = c.Write(request)
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, response) {
			t.Fatalf("the bytes changed: %v", err)
		}
		for p := range r.batches {
			r.reason(p, "X")
		}
	})
}
