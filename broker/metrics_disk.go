package broker

import (
	"time"

	"github.com/varvelog/varve/broker/metrics"
	"github.com/varvelog/varve/broker/replog"
	"github.com/varvelog/varve/internal/metric"
)

// diskMeters measure the tasks of the log engine, and the owner's turns.
type diskMeters struct {
	commit, commitBytes, commitRecords *metric.Histogram
	prepare, segment, sync             *metric.Histogram
	turn                               *metric.Histogram
}

func (d *diskMeters) init(set *metric.Set) {
	*d = diskMeters{
		commit:        set.Histogram(metrics.CommitDuration),
		commitBytes:   set.Histogram(metrics.CommitBytes),
		commitRecords: set.Histogram(metrics.CommitRecords),
		prepare:       set.Histogram(metrics.SegmentDuration, "prepare"),
		segment:       set.Histogram(metrics.SegmentDuration, "segment"),
		sync:          set.Histogram(metrics.SegmentDuration, "sync"),
		turn:          set.Histogram(metrics.OwnerTurn),
	}
}

// performed takes the time of a task that was done.
func (d *diskMeters) performed(t replog.Task, took time.Duration) {
	switch t.Class() {
	case replog.ClassCommit:
		d.commit.Record(int64(took))
		if c, ok := t.(interface {
			Records() int
			Bytes() int64
		}); ok {
			d.commitBytes.Record(c.Bytes())
			d.commitRecords.Record(int64(c.Records()))
		}
	case replog.ClassPrepare:
		d.prepare.Record(int64(took))
	case replog.ClassSegment:
		d.segment.Record(int64(took))
	case replog.ClassSync:
		d.sync.Record(int64(took))
	}
}
