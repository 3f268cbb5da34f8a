package broker

import (
	"time"

	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/internal/metric"
	"github.com/varvelog/varve/plugins/pipeline"
)

// chainMeters measure all chains together.
type chainMeters struct {
	duration, queue *metric.Histogram
}

func (c *chainMeters) init(set *metric.Set) {
	c.duration, c.queue = set.Histogram(metrics.ChainDuration), set.Histogram(metrics.ChainQueue)
}

// topicChainMeters are those of one topic's chain.
type topicChainMeters struct {
	all    *chainMeters
	now    func() time.Time
	errors *metric.Counter
	stages []stageMeters // in the order of the chain
	names  map[string]int
}

// stageMeters are one stage's counters in one topic.
type stageMeters struct {
	kept, replaced, dropped, skipped, rejected, deadLettered, failedDropped, passed *metric.Counter

	failures, traps, calls, run, wait, fuel, letters *metric.Counter
}

// chain returns the counters of a topic's chain.
func (m *meters) chain(topic string, stages []pipeline.Stage) *topicChainMeters {
	m.topic(topic) // so that it is pruned
	c := &topicChainMeters{
		all: &m.chains, now: m.now, errors: m.set.Counter(metrics.ChainErrors, topic), names: map[string]int{},
	}
	for i, s := range stages {
		outcome := func(o string) *metric.Counter { return m.set.Counter(metrics.StageRecords, topic, s.Name, o) }
		c.stages = append(c.stages, stageMeters{
			kept: outcome("kept"), replaced: outcome("replaced"), dropped: outcome("dropped"), skipped: outcome("skipped"),
			rejected: outcome("rejected"), deadLettered: outcome("dead_lettered"), failedDropped: outcome("failed_dropped"), passed: outcome("passed"),
			failures: m.set.Counter(metrics.StageFailures, topic, s.Name),
			traps:    m.set.Counter(metrics.StageTraps, topic, s.Name),
			calls:    m.set.Counter(metrics.StageCalls, topic, s.Name),
			run:      m.set.Counter(metrics.StageRun, topic, s.Name),
			wait:     m.set.Counter(metrics.StageWait, topic, s.Name),
			fuel:     m.set.Counter(metrics.StageFuel, topic, s.Name),
			letters:  m.set.Counter(metrics.DeadLetters, topic, s.Name),
		})
		c.names[s.Name] = i
	}
	return c
}

// ran takes what a chain made of one batch.
func (c *topicChainMeters) ran(out *pipeline.Output, err error, took time.Duration) {
	c.all.duration.Record(int64(took))
	if err != nil {
		c.errors.Add(1)
		return
	}
	for i := range min(len(out.Stages), len(c.stages)) {
		c.stages[i].add(&out.Stages[i])
	}
	if out.Refusal != nil {
		return
	}
	for i := range out.Emissions {
		if at, ok := c.names[out.Emissions[i].Stage]; ok {
			c.stages[at].letters.Add(1)
		}
	}
}

func (m *stageMeters) add(s *pipeline.StageStats) {
	m.kept.Add(int64(s.Kept))
	m.replaced.Add(int64(s.Replaced))
	m.dropped.Add(int64(s.Dropped))
	m.skipped.Add(int64(s.Skipped))
	m.rejected.Add(int64(s.Rejected))
	m.deadLettered.Add(int64(s.DeadLettered))
	m.failedDropped.Add(int64(s.FailedDropped))
	m.passed.Add(int64(s.Passed))
	m.failures.Add(int64(s.Failed))
	m.traps.Add(int64(s.Traps))
	m.calls.Add(int64(s.Calls))
	m.run.Add(int64(s.Elapsed))
	m.wait.Add(int64(s.Waited))
	m.fuel.Add(s.Fuel)
}
