package kafka

// DeleteTopics, versions 1 to 6.
//
//	1  throttle time
//	3  TOPIC_DELETION_DISABLED instead of INVALID_REQUEST
//	4  flexible (KIP-482)
//	5  messages beside error codes, THROTTLING_QUOTA_EXCEEDED (KIP-599)
//	6  topics by id as well as by name (KIP-516)
//
// Gaps: no mutation quota, so THROTTLING_QUOTA_EXCEEDED is never returned.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
	"github.com/varvelog/varve/internal/ident"
)

// doomed is how a request names a topic: by id if that is not zero.
type doomed struct {
	name string
	id   ident.TopicID
}

func deleteTopics(h *Handlers, c *Call, q *kmsg.DeleteTopicsRequest) {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	img := h.b.Image()
	topics, again := distinct(doomedTopics(q), func(d *doomed) doomed { return *d })
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, len(topics))
	taken := map[ident.TopicID]bool{} // to see one that is named both ways
	var changes []change
	gate := h.gate()
	for i, d := range topics {
		answer := &resp.Topics[i]
		*answer = kmsg.NewDeleteTopicsResponseTopic()
		answer.TopicID = d.id
		if d.id.IsZero() {
			answer.Topic = &d.name
		}
		err := gate
		switch {
		case err != nil:
		case again[*d]:
			err = refuse(kerr.InvalidRequest, "the topic stands twice in the request")
		case i >= topicsPerRequestMax:
			err = refuse(kerr.PolicyViolation, "more than %d topics in one request", topicsPerRequestMax)
		}
		var t *metadata.Topic
		if err == nil {
			t, err = h.doomedTopic(img, c.Version, d)
		}
		if err == nil && taken[t.ID] {
			err = refuse(kerr.InvalidRequest, "the topic stands twice in the request, by name and by id")
		}
		if err != nil {
			answer.ErrorCode, answer.ErrorMessage = h.verdict(err)
			continue
		}
		taken[t.ID] = true
		answer.Topic, answer.TopicID = &t.Name, t.ID
		answer.ErrorCode, answer.ErrorMessage = h.verdict(errTimedOut)
		changes = append(changes, change{metadata.DeleteTopic{TopicID: t.ID, TimeMs: h.b.Now().UnixMilli()}, func(r metadata.Result) {
			answer.ErrorCode, answer.ErrorMessage = h.verdict(r.Err)
		}})
	}
	c.change(q.TimeoutMillis, false, changes, func() { c.Respond(resp) })
}

// doomedTopics returns the topics of a request of any version.
func doomedTopics(q *kmsg.DeleteTopicsRequest) []doomed {
	list := make([]doomed, 0, len(q.TopicNames)+len(q.Topics))
	for _, name := range q.TopicNames {
		list = append(list, doomed{name: name})
	}
	for i := range q.Topics {
		d := doomed{id: q.Topics[i].TopicID}
		if name := q.Topics[i].Topic; name != nil {
			d.name = *name
		}
		list = append(list, d)
	}
	return list
}

// doomedTopic finds a topic that may be deleted.
func (h *Handlers) doomedTopic(img *metadata.Image, version int16, d *doomed) (*metadata.Topic, error) {
	if !h.b.Config().DeleteTopics {
		kind := kerr.TopicDeletionDisabled
		if version < 3 {
			kind = kerr.InvalidRequest
		}
		return nil, refuse(kind, "delete.topic.enable is false")
	}
	var t *metadata.Topic
	var err error
	switch {
	case d.id.IsZero():
		t, err = findTopic(img, d.name)
	case d.name != "":
		err = refuse(kerr.InvalidRequest, "a topic is named both by name and by id")
	default:
		var ok bool
		if t, ok = img.TopicByID(d.id); !ok {
			err = refuse(kerr.UnknownTopicID, "topic id %v does not exist", d.id)
		}
	}
	if err != nil {
		return nil, err
	}
	if t.Internal {
		return nil, refuse(kerr.InvalidTopicException, "internal topic %q belongs to the broker", t.Name)
	}
	return t, refuseReserved(t.Name, "delete topic")
}
