package load

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/internal/record"
)

// Broker is a running broker process.
type Broker struct {
	Address string
	http    string
	cmd     *exec.Cmd
}

// Start runs a broker on a free port and waits until it serves.
func Start(bin, data string, settings ...string) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Broker{Address: l.Addr().String(), http: h.Addr().String()}
	l.Close()
	h.Close()
	args := []string{"serve", "--set", "log.dirs=" + data, "--set", "listeners=PLAINTEXT://" + b.Address, "--set", "http.listen=" + b.http}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	b.cmd = exec.Command(bin, args...)
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.cmd.Stderr = os.Stderr
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "is ready") {
			go io.Copy(io.Discard, out)
			return b, nil
		}
	}
	return nil, fmt.Errorf("the broker ended before it was ready")
}

// Kill ends the process at once.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// PID returns the process id.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// HTTP sends a request to the broker's HTTP interface.
func (b *Broker) HTTP(method, path, body string) (string, error) {
	q, err := http.NewRequest(method, "http://"+b.http+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, r.Status, text)
	}
	return string(text), err
}

// RSS returns the resident memory of the process in MiB.
func (b *Broker) RSS() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.PID()))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}

// clockTicks is the unit of /proc/PID/stat on Linux.
const clockTicks = 100

// CPU returns the seconds of processor time that the process has used.
func (b *Broker) CPU() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.PID()))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / clockTicks, err
}

// Batch returns one encoded record batch with about n bytes of record values of
// 1 KiB that do not compress.
func Batch(n int) []byte {
	b := record.NewBuilder(record.DefaultParams(record.None, time.Now().UnixMilli()))
	value := make([]byte, 1024)
	x := uint64(88172645463325252)
	for range max(1, n/len(value)) {
		for i := range value {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			value[i] = byte(x)
		}
		if err := b.Append(&record.Record{OffsetDelta: int32(b.Count()), Value: value}); err != nil {
			panic(err)
		}
	}
	out, err := b.Finish(-1)
	if err != nil {
		panic(err)
	}
	return out
}

// frame encodes a request with its length and header.
func frame(r kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("load")).AppendRequest(nil, r, correlation)
}

// readFrame reads a response's body behind its correlation id.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("response of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body[4:], err
}

// CreateTopic makes a topic.
func CreateTopic(address, topic string, partitions int32) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.SetVersion(4)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	q.Topics, q.TimeoutMillis = append(q.Topics, t), 30_000
	if _, err := c.Write(frame(q, 1)); err != nil {
		return err
	}
	body, err := readFrame(bufio.NewReader(c))
	if err != nil {
		return err
	}
	p := q.ResponseKind().(*kmsg.CreateTopicsResponse)
	if err := p.ReadFrom(body); err != nil {
		return err
	}
	if code := p.Topics[0].ErrorCode; code != 0 {
		return fmt.Errorf("create topic: error code %d", code)
	}
	return nil
}

// Pipeline sends the batch in Produce requests of one batch each, round robin
// over the partitions, with so many in flight, until stop. It returns how many
// were acknowledged.
func Pipeline(c net.Conn, topic string, first, partitions, inFlight int, batch []byte, stop time.Time) (int64, error) {
	q := kmsg.NewPtrProduceRequest()
	q.SetVersion(8)
	q.Acks, q.TimeoutMillis = -1, 30_000
	frames := make([][]byte, partitions)
	for p := range partitions {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = topic
		tp := kmsg.NewProduceRequestTopicPartition()
		tp.Partition, tp.Records = int32(p), batch
		t.Partitions = append(t.Partitions, tp)
		q.Topics = []kmsg.ProduceRequestTopic{t}
		frames[p] = frame(q, int32(p))
	}
	acked := int64(0)
	slots := make(chan struct{}, inFlight)
	failed := make(chan error, 1)
	sent := make(chan int, 1)
	go func() {
		n := 0
		for ; time.Now().Before(stop); n++ {
			slots <- struct{}{}
			if _, err := c.Write(frames[(first+n)%partitions]); err != nil {
				failed <- err
				return
			}
		}
		sent <- n
	}()
	r := bufio.NewReaderSize(c, 64<<10)
	total := -1
	for total < 0 || acked < int64(total) {
		if total < 0 {
			select {
			case total = <-sent:
				continue
			case err := <-failed:
				return acked, err
			default:
			}
		}
		body, err := readFrame(r)
		if err != nil {
			return acked, err
		}
		p := kmsg.NewPtrProduceResponse()
		p.SetVersion(8)
		if err := p.ReadFrom(body); err != nil {
			return acked, err
		}
		if code := p.Topics[0].Partitions[0].ErrorCode; code != 0 {
			return acked, fmt.Errorf("produce: error code %d", code)
		}
		acked++
		<-slots
	}
	return acked, nil
}
