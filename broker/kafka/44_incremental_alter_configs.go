package kafka

// IncrementalAlterConfigs, versions 0 to 1 (KIP-339).
//
//	1  flexible (KIP-482)
//
// A change is read, judged as a whole and proposed under the condition that
// nothing was changed since; where something was, that is done again.
//
// Gaps: topics, and the settings of all brokers (resource type broker, empty
// name). Settings of a single broker are in its configuration file; loggers,
// client metrics and groups have none. All are refused with INVALID_REQUEST.

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/broker/metadata"
)

const (
	// resourcesPerRequestMax bounds the resources that one request alters.
	resourcesPerRequestMax = 1000
	// alterAttemptsMax bounds how often a change is judged again because of
	// others at the same time.
	alterAttemptsMax = 8
)

type alterResource = kmsg.IncrementalAlterConfigsRequestResource

func incrementalAlterConfigs(h *Handlers, c *Call, q *kmsg.IncrementalAlterConfigsRequest) {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	gate, img := h.gate(), h.b.Image()
	resources, again := distinct(q.Resources, func(r *alterResource) resourceName {
		return resourceName{r.ResourceType, r.ResourceName}
	})
	resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(resources))
	send := func() { c.Respond(resp) }
	var alters []*alteration
	for i, r := range resources {
		a := &resp.Resources[i]
		a.ResourceType, a.ResourceName = r.ResourceType, r.ResourceName
		err := gate
		switch {
		case err != nil:
		case again[resourceName{r.ResourceType, r.ResourceName}]:
			err = refuse(kerr.InvalidRequest, "the resource stands twice in the request")
		case i >= resourcesPerRequestMax:
			err = refuse(kerr.PolicyViolation, "more than %d resources in one request", resourcesPerRequestMax)
		}
		var cmd metadata.Command
		if err == nil {
			cmd, err = h.alter(img, r)
		}
		if err == nil && q.ValidateOnly {
			err = img.Check(cmd)
		}
		if err != nil || q.ValidateOnly {
			a.ErrorCode, a.ErrorMessage = h.verdict(err)
			continue
		}
		a.ErrorCode, a.ErrorMessage = h.verdict(errTimedOut)
		alters = append(alters, &alteration{h: h, r: r, cmd: cmd, note: func(err error) {
			a.ErrorCode, a.ErrorMessage = h.verdict(err)
		}})
	}
	if len(alters) == 0 {
		send()
		return
	}
	g := c.gather(0, len(alters), send)
	for _, a := range alters {
		a.g = g
		a.propose()
	}
}

// alteration is one resource's change under way.
type alteration struct {
	h        *Handlers
	g        *gather
	r        *alterResource
	cmd      metadata.Command
	attempts int
	note     func(error)
}

func (a *alteration) propose() {
	a.attempts++
	a.h.b.Command(a.cmd, a.done)
}

// done ends the change, or begins it anew if the resource was changed in between.
func (a *alteration) done(r metadata.Result) {
	err := r.Err
	if errors.Is(err, metadata.ErrConflict) && a.attempts < alterAttemptsMax {
		if a.cmd, err = a.h.alter(a.h.b.Image(), a.r); err == nil {
			a.propose()
			return
		}
	}
	a.g.settle(func() { a.note(err) })
}
