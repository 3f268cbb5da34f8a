package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/IBM/sarama"
)

const (
	firstTime = 1_700_000_000_000
	retention = "retention.ms"
)

type adminParams struct {
	Topic string `json:"topic"`
}

type cluster struct {
	ID         string  `json:"id"`
	Controller int32   `json:"controller"`
	Brokers    []int32 `json:"brokers"`
}

type administered struct {
	Again      int16    `json:"again"`
	Listed     bool     `json:"listed"`
	Partitions int      `json:"partitions"`
	Retention  string   `json:"retention"`
	Altered    string   `json:"altered"`
	Raised     int      `json:"raised"`
	Earliest   int64    `json:"earliest"`
	Latest     int64    `json:"latest"`
	ByTime     int64    `json:"by_time"`
	Cluster    *cluster `json:"cluster"`
	Left       bool     `json:"left"`
	Gone       int16    `json:"gone"`
}

// administrator does the steps of scenario admin; the first failure ends them.
type administrator struct {
	sarama.ClusterAdmin
	cl    sarama.Client
	topic string
	out   administered
}

func admin(addr string, p adminParams) (administered, error) {
	cl, err := sarama.NewClient([]string{addr}, config(false))
	if err != nil {
		return administered{}, err
	}
	ca, err := sarama.NewClusterAdminFromClient(cl)
	if err != nil {
		return administered{}, err
	}
	defer ca.Close()
	a := &administrator{ClusterAdmin: ca, cl: cl, topic: p.Topic}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", a.create},
		{"create again", func() (err error) { a.out.Again, err = code(a.create()); return err }},
		{"list", func() error { return a.list(&a.out.Listed) }},
		{"describe", func() error { return a.describe(&a.out.Partitions) }},
		{"describe configs", func() error { return a.config(&a.out.Retention) }},
		{"alter configs", a.alter},
		{"describe configs", func() error { return a.config(&a.out.Altered) }},
		{"create partitions", func() error { return a.CreatePartitions(a.topic, 5, nil, false) }},
		{"describe", func() error { return a.describe(&a.out.Raised) }},
		{"produce", func() error { return a.fill(addr) }},
		{"delete records", func() error { return a.DeleteRecords(a.topic, map[int32]int64{0: 4}) }},
		{"list offsets", a.offsets},
		{"describe cluster", a.cluster},
		{"delete", func() error { return a.DeleteTopic(a.topic) }},
		{"list", func() error { return a.list(&a.out.Left) }},
		{"delete again", func() (err error) { a.out.Gone, err = code(a.DeleteTopic(a.topic)); return err }},
	} {
		if err := step.do(); err != nil {
			return a.out, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return a.out, nil
}

// code returns the protocol's code of an error.
func code(err error) (int16, error) {
	var k sarama.KError
	if errors.As(err, &k) {
		return int16(k), nil
	}
	return 0, err
}

func (a *administrator) create() error {
	ms := "3600000"
	return a.CreateTopic(a.topic, &sarama.TopicDetail{
		NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{retention: &ms},
	}, false)
}

func (a *administrator) list(found *bool) error {
	topics, err := a.ListTopics()
	_, *found = topics[a.topic]
	return err
}

func (a *administrator) describe(partitions *int) error {
	topics, err := a.DescribeTopics([]string{a.topic})
	if err != nil {
		return err
	}
	if len(topics) != 1 {
		return fmt.Errorf("%d topics are described", len(topics))
	}
	*partitions = len(topics[0].Partitions)
	return nil
}

func (a *administrator) config(to *string) error {
	entries, err := a.DescribeConfig(sarama.ConfigResource{
		Type: sarama.TopicResource, Name: a.topic, ConfigNames: []string{retention},
	})
	for _, e := range entries {
		if e.Name == retention {
			*to = e.Value
		}
	}
	return err
}

func (a *administrator) alter() error {
	ms := "7200000"
	return a.IncrementalAlterConfig(sarama.TopicResource, a.topic, map[string]sarama.IncrementalAlterConfigsEntry{
		retention: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &ms},
	}, false)
}

func (a *administrator) fill(addr string) error {
	producer, err := sarama.NewSyncProducer([]string{addr}, config(false))
	if err != nil {
		return err
	}
	var records []record
	for i := range 10 {
		records = append(records, record{Value: []byte(strconv.Itoa(i)), Timestamp: int64(firstTime + 1000*i)})
	}
	_, err = send(producer, a.topic, records)
	return errors.Join(err, producer.Close())
}

func (a *administrator) offsets() error {
	for _, q := range []struct {
		time int64
		to   *int64
	}{{sarama.OffsetOldest, &a.out.Earliest}, {sarama.OffsetNewest, &a.out.Latest}, {firstTime + 6000, &a.out.ByTime}} {
		offset, err := a.cl.GetOffset(a.topic, 0, q.time)
		if err != nil {
			return err
		}
		*q.to = offset
	}
	return nil
}

// cluster asks with a request of its own, because DescribeCluster of the client
// does not tell the id.
func (a *administrator) cluster() error {
	brokers, controller, err := a.DescribeCluster()
	if err != nil {
		return err
	}
	resp, err := a.cl.LeastLoadedBroker().GetMetadata(&sarama.MetadataRequest{Version: 7, Topics: []string{a.topic}})
	if err != nil {
		return err
	}
	if resp.ClusterID == nil {
		return errors.New("the cluster has no id")
	}
	a.out.Cluster = &cluster{ID: *resp.ClusterID, Controller: controller}
	for _, b := range brokers {
		a.out.Cluster.Brokers = append(a.out.Cluster.Brokers, b.ID())
	}
	return nil
}
