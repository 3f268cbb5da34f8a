package kafka

import (
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/broker/coordinator"
	"github.com/varvelog/varve/broker/group"
	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// withGroup calls f with the shard of a group, or with why there is none, once,
// on the goroutine of the coordinator or at once.
func (h *Handlers) withGroup(id string, f func(now time.Time, s *group.Shard, err error)) {
	if !h.b.Ready() {
		f(time.Time{}, nil, coordinator.ErrLoading)
		return
	}
	h.b.Groups().Do(id, f)
}

// readGroup is withGroup for what tells committed offsets.
func (h *Handlers) readGroup(id string, f func(now time.Time, s *group.Shard, err error)) {
	if !h.b.Ready() {
		f(time.Time{}, nil, coordinator.ErrLoading)
		return
	}
	h.b.Groups().Read(id, f)
}

// instanceID returns a request's instance id (KIP-345), "" for none. One that is
// there and empty is refused.
func instanceID(id *string) (string, error) {
	switch {
	case id == nil:
		return "", nil
	case *id == "":
		return "", refuse(kerr.InvalidRequest, "empty group instance id")
	}
	return *id, nil
}

// nullable is nil for "".
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orEmpty is "" for nil.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// milliseconds is a length of time of a request.
func milliseconds[T int32 | int64](ms T) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(int64(ms), most)) * time.Millisecond
}

// clientHost is where a request comes from, as Kafka shows it.
func clientHost(c *Call) string {
	host, _, err := net.SplitHostPort(c.Conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return "/" + host
}

// offsetTopic finds the topic of an offset, and refuses partitions that it does
// not have.
func offsetTopic(img *metadata.Image, byID bool, name string, id ident.TopicID) (t *metadata.Topic, check func(index int32) error, err error) {
	if t, err = topicBy(img, byID, name, id); err != nil {
		return nil, nil, err
	}
	return t, func(index int32) error {
		if index < 0 || int(index) >= len(t.Partitions) {
			return kerr.UnknownTopicOrPartition
		}
		return nil
	}, nil
}
