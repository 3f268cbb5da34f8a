package kafka

// DescribeCluster, versions 0 to 2 (KIP-700).
//
//	1  endpoint types (KIP-919)
//	2  fenced brokers (KIP-1073)
//
// Gaps: no broker is ever fenced. Any broker takes requests for the controller,
// so each names itself, as brokers without a controller of their own do.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Endpoint types of DescribeCluster.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// clusterOperations are the operations on a cluster, as bits by their number:
// Create 5, Alter 7, Describe 8, ClusterAction 9, DescribeConfigs 10,
// AlterConfigs 11, IdempotentWrite 12. Nothing is denied to anybody yet.
const clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12

func describeCluster(h *Handlers, c *Call, q *kmsg.DescribeClusterRequest) {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType = endpointBrokers
	if q.Version >= 1 {
		resp.EndpointType = q.EndpointType
	}
	err := h.gate()
	switch {
	case err != nil || resp.EndpointType == endpointBrokers:
	case resp.EndpointType == endpointControllers:
		err = refuse(kerr.MismatchedEndpointType, "this is a broker's listener, and there are no others")
	default:
		err = refuse(kerr.UnsupportedEndpointType, "endpoint type %d", q.EndpointType)
	}
	if resp.ErrorCode, resp.ErrorMessage = h.verdict(err); err != nil {
		c.Respond(resp)
		return
	}
	img := h.b.Image()
	resp.ClusterID = img.ClusterID()
	resp.ControllerID = int32(h.b.NodeID())
	if q.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for b := range img.Brokers() {
		a := kmsg.NewDescribeClusterResponseBroker()
		a.NodeID, a.Host, a.Port = int32(b.NodeID), b.Host, b.Port
		if b.NodeID == h.b.NodeID() {
			a.Host, a.Port = h.b.Advertised(c.Conn.Listener())
		}
		if b.Rack != "" {
			a.Rack = &b.Rack
		}
		resp.Brokers = append(resp.Brokers, a)
	}
	c.Respond(resp)
}
