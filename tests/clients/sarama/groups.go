package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type memberParams struct {
	Topic    string `json:"topic"`
	Group    string `json:"group"`
	Strategy string `json:"strategy"`
	Instance string `json:"instance"`
	Until    string `json:"until"`
}

type event struct {
	Assigned *[]int32 `json:"assigned,omitempty"`
	Revoked  *[]int32 `json:"revoked,omitempty"`
	Record   *got     `json:"record,omitempty"`
	Failed   string   `json:"failed,omitempty"`
}

type membership struct {
	Events []event `json:"events"`
}

var strategies = map[string]func() sarama.BalanceStrategy{
	"range":      sarama.NewBalanceStrategyRange,
	"roundrobin": sarama.NewBalanceStrategyRoundRobin,
	"sticky":     sarama.NewBalanceStrategySticky,
}

// events is what happens to a member. Each claim has a goroutine.
type events struct {
	topic string
	mu    sync.Mutex
	list  []event
}

func (e *events) add(one event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, one)
}

// Setup and Cleanup begin and end a generation, with all of its partitions.
func (e *events) Setup(s sarama.ConsumerGroupSession) error {
	parts := append([]int32{}, s.Claims()[e.topic]...)
	e.add(event{Assigned: &parts})
	return nil
}

func (e *events) Cleanup(s sarama.ConsumerGroupSession) error {
	parts := append([]int32{}, s.Claims()[e.topic]...)
	e.add(event{Revoked: &parts})
	return nil
}

// ConsumeClaim commits whenever nothing more has come. The client does not tell
// what became of a commit.
func (e *events) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		g := convert(m)
		e.add(event{Record: &g})
		s.MarkMessage(m, "")
		if len(claim.Messages()) == 0 {
			s.Commit()
		}
	}
	s.Commit()
	return nil
}

// groupConfig is sarama's own but for what it demands of its users.
func groupConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	return c
}

func member(addr string, p memberParams) (membership, error) {
	c := groupConfig()
	strategy, ok := strategies[p.Strategy]
	if !ok {
		return membership{}, fmt.Errorf("no strategy %q", p.Strategy)
	}
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy()}
	c.Consumer.Group.InstanceId = p.Instance
	// Without a broker there is no consumer: its users have to try again.
	g, err := sarama.NewConsumerGroup([]string{addr}, p.Group, c)
	for until := time.Now().Add(patience); errors.Is(err, sarama.ErrOutOfBrokers) && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
		g, err = sarama.NewConsumerGroup([]string{addr}, p.Group, c)
	}
	if err != nil {
		return membership{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(p.Until); err == nil {
				cancel()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	e := &events{topic: p.Topic}
	deadline := time.Now().Add(4 * patience)
	for ctx.Err() == nil {
		// The documented loop: after each rebalance, and after what the client
		// gave up on, it is called again.
		if err := g.Consume(ctx, []string{p.Topic}, e); err != nil {
			e.add(event{Failed: err.Error()})
			time.Sleep(100 * time.Millisecond)
		}
		if time.Now().After(deadline) {
			return membership{}, fmt.Errorf("not told to end; last event: %v", e.list[len(e.list)-1])
		}
	}
	return membership{Events: e.list}, g.Close()
}

type positionsParams struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
}

type positioned struct {
	Read      int    `json:"read"`
	Committed int64  `json:"committed"`
	Metadata  string `json:"metadata"`
	Sought    int64  `json:"sought"`
	After     int64  `json:"after"`
}

// stepper does the steps of scenario positions inside of one claim, where
// sarama lets its users commit. Going back is a claim that begins anew.
type stepper struct {
	events
	addr  string
	p     positionsParams
	out   positioned
	round int
	end   context.CancelFunc
}

func (s *stepper) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	s.round++
	if s.round == 1 {
		for m := range claim.Messages() {
			s.out.Read++
			if m.Offset == 9 {
				break
			}
		}
		session.MarkOffset(s.p.Topic, 0, 4, "note")
		session.Commit()
		at, err := committed(s.addr, s.p.Group, s.p.Topic)
		s.out.Committed, s.out.Metadata = at.Offset, at.Metadata
		session.ResetOffset(s.p.Topic, 0, 2, "")
		session.Commit()
		return err
	}
	m, ok := <-claim.Messages()
	if ok {
		s.out.Sought = m.Offset
	}
	session.MarkOffset(s.p.Topic, 0, 10, "")
	session.Commit()
	s.end()
	return nil
}

func positions(addr string, p positionsParams) (positioned, error) {
	g, err := sarama.NewConsumerGroup([]string{addr}, p.Group, groupConfig())
	if err != nil {
		return positioned{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := &stepper{events: events{topic: p.Topic}, addr: addr, p: p, end: cancel}
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{p.Topic}, s); err != nil {
			return s.out, errors.Join(err, g.Close())
		}
	}
	if err := g.Close(); err != nil {
		return s.out, err
	}
	at, err := committed(addr, p.Group, p.Topic)
	s.out.After = at.Offset
	return s.out, err
}

// committed asks what a group has committed for the first partition.
func committed(addr, group, topic string) (sarama.OffsetFetchResponseBlock, error) {
	a, err := sarama.NewClusterAdmin([]string{addr}, groupConfig())
	if err != nil {
		return sarama.OffsetFetchResponseBlock{}, err
	}
	defer a.Close()
	r, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err != nil {
		return sarama.OffsetFetchResponseBlock{}, err
	}
	return *r.GetBlock(topic, 0), nil
}

type groupsParams struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
}

type grouped struct {
	Listed  bool    `json:"listed"`
	State   string  `json:"state"`
	Members int     `json:"members"`
	Offsets []int64 `json:"offsets"`
	Reset   *int64  `json:"reset"`
	Cleared int64   `json:"cleared"`
	Left    bool    `json:"left"`
	Gone    int16   `json:"gone"`
}

// groups does the steps of scenario groups. The administrator has no call that
// sets an offset, but the offset manager does.
func groups(addr string, p groupsParams) (grouped, error) {
	var out grouped
	cl, err := sarama.NewClient([]string{addr}, groupConfig())
	if err != nil {
		return out, err
	}
	a, err := sarama.NewClusterAdminFromClient(cl)
	if err != nil {
		return out, errors.Join(err, cl.Close())
	}
	defer a.Close()
	all, err := a.ListConsumerGroups()
	if err != nil {
		return out, err
	}
	_, out.Listed = all[p.Group]
	described, err := a.DescribeConsumerGroups([]string{p.Group})
	if err != nil {
		return out, err
	}
	out.State, out.Members = strings.ToLower(described[0].State), len(described[0].Members)
	if out.Offsets, err = offsetsOf(a, p); err != nil {
		return out, err
	}
	if err := reset(cl, p, 3); err != nil {
		return out, err
	}
	if err := a.DeleteConsumerGroupOffset(p.Group, p.Topic, 1); err != nil {
		return out, err
	}
	after, err := offsetsOf(a, p)
	if err != nil {
		return out, err
	}
	out.Reset, out.Cleared = &after[0], after[1]
	if err := a.DeleteConsumerGroup(p.Group); err != nil {
		return out, err
	}
	if all, err = a.ListConsumerGroups(); err != nil {
		return out, err
	}
	_, out.Left = all[p.Group]
	out.Gone, err = code(a.DeleteConsumerGroup(p.Group))
	return out, err
}

func reset(cl sarama.Client, p groupsParams, offset int64) error {
	m, err := sarama.NewOffsetManagerFromClient(p.Group, cl)
	if err != nil {
		return err
	}
	of, err := m.ManagePartition(p.Topic, 0)
	if err != nil {
		return errors.Join(err, m.Close())
	}
	of.ResetOffset(offset, "")
	of.AsyncClose() // Close would wait for automatic commits
	m.Commit()
	return m.Close()
}

func offsetsOf(a sarama.ClusterAdmin, p groupsParams) ([]int64, error) {
	r, err := a.ListConsumerGroupOffsets(p.Group, map[string][]int32{p.Topic: {0, 1, 2, 3}})
	if err != nil {
		return nil, err
	}
	var out []int64
	for i := range int32(4) {
		out = append(out, r.GetBlock(p.Topic, i).Offset)
	}
	return out, nil
}
