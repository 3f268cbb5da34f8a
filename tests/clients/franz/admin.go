package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/tests/clients/scenario"
)

const (
	firstTime  = 1_700_000_000_000
	searchTime = firstTime + 6_000
	retention  = "retention.ms"
	timeout    = 15_000
)

// administrator does the steps of scenario admin; the first failure ends them.
type administrator struct {
	ctx   context.Context
	cl    *kgo.Client
	topic string
	out   scenario.Administered
}

func admin(ctx context.Context, addr string, p scenario.Admin) (scenario.Administered, error) {
	cl, err := client(addr)
	if err != nil {
		return scenario.Administered{}, err
	}
	defer cl.Close()
	a := &administrator{ctx: ctx, cl: cl, topic: p.Topic}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() error { return a.expect(a.create, 0, nil) }},
		{"create again", func() error { return a.expect(a.create, kerr.TopicAlreadyExists.Code, &a.out.Again) }},
		{"list", func() error { return a.list(&a.out.Listed) }},
		{"describe", func() error { return a.describe(&a.out.Partitions) }},
		{"describe configs", func() error { return a.config(&a.out.Retention) }},
		{"alter configs", a.alter},
		{"describe configs", func() error { return a.config(&a.out.Altered) }},
		{"create partitions", a.raise},
		{"describe", func() error { return a.describe(&a.out.Raised) }},
		{"produce", a.fill},
		{"delete records", a.deleteRecords},
		{"list offsets", a.offsets},
		{"describe cluster", a.cluster},
		{"delete", func() error { return a.expect(a.remove, 0, nil) }},
		{"list", func() error { return a.list(&a.out.Left) }},
		{"delete again", func() error { return a.expect(a.remove, kerr.UnknownTopicOrPartition.Code, &a.out.Gone) }},
	} {
		if err := step.do(); err != nil {
			return a.out, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return a.out, nil
}

// expect does a step that ends with an error code, and keeps the code.
func (a *administrator) expect(do func() (int16, error), want int16, to **int16) error {
	code, err := do()
	if err != nil {
		return err
	}
	if to != nil {
		*to = &code
	}
	if code != want {
		return fmt.Errorf("answered with %v", kerr.ErrorForCode(code))
	}
	return nil
}

var errAnswer = errors.New("the answer has not one object")

func (a *administrator) create() (int16, error) {
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = timeout
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = a.topic, 3, 1
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = retention, kmsg.StringPtr("3600000")
	t.Configs = append(t.Configs, c)
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, errAnswer
	}
	return resp.Topics[0].ErrorCode, nil
}

func (a *administrator) remove() (int16, error) {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TimeoutMillis = timeout
	q.TopicNames = []string{a.topic}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(a.topic)
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, errAnswer
	}
	return resp.Topics[0].ErrorCode, nil
}

func (a *administrator) list(to **bool) error {
	q := kmsg.NewPtrMetadataRequest() // null topics: all
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	found := false
	for _, t := range resp.Topics {
		found = found || t.Topic != nil && *t.Topic == a.topic
	}
	*to = &found
	return nil
}

func (a *administrator) describe(to **int) error {
	q := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(a.topic)
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return errAnswer
	}
	n := len(resp.Topics[0].Partitions)
	*to = &n
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func (a *administrator) config(to **string) error {
	q := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, a.topic
	q.Resources = append(q.Resources, r)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	if len(resp.Resources) != 1 {
		return errAnswer
	}
	for _, c := range resp.Resources[0].Configs {
		if c.Name == retention {
			*to = c.Value
		}
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func (a *administrator) alter() error {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, a.topic
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = retention, kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr("7200000")
	r.Configs = append(r.Configs, c)
	q.Resources = append(q.Resources, r)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	if len(resp.Resources) != 1 {
		return errAnswer
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func (a *administrator) raise() error {
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.TimeoutMillis = timeout
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = a.topic, 5
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return errAnswer
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func (a *administrator) fill() error {
	run := scenario.Run{Topic: a.topic}
	for i := range 10 {
		run.Records = append(run.Records, scenario.Record{
			Value: []byte(strconv.Itoa(i)), Timestamp: int64(firstTime + 1000*i),
		})
	}
	_, err := send(a.ctx, a.cl, run)
	return err
}

func (a *administrator) deleteRecords() error {
	q := kmsg.NewPtrDeleteRecordsRequest()
	q.TimeoutMillis = timeout
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = a.topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = 0, 4
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	resp, err := q.RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errAnswer
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

func (a *administrator) offsets() error {
	for _, q := range []struct {
		ms int64
		to **int64
	}{{earliest, &a.out.Earliest}, {latest, &a.out.Latest}, {searchTime, &a.out.ByTime}} {
		offset, err := offsetAt(a.ctx, a.cl, a.topic, 0, q.ms)
		if err != nil {
			return err
		}
		*q.to = &offset
	}
	return nil
}

func (a *administrator) cluster() error {
	resp, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(a.ctx, a.cl)
	if err != nil {
		return err
	}
	a.out.Cluster = &scenario.Cluster{ID: resp.ClusterID, Controller: resp.ControllerID}
	for _, b := range resp.Brokers {
		a.out.Cluster.Brokers = append(a.out.Cluster.Brokers, b.NodeID)
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}
