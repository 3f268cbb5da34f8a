package broker

import (
	"fmt"

	"github.com/varvelog/varve/broker/node"
	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/record"
	"github.com/varvelog/varve/plugins/deadletter"
	"github.com/varvelog/varve/plugins/pipeline"
)

// letters turns emissions into dead letters at delivery, when the offset that a
// record would have had is known (D5). It implements node.Letters.
type letters struct{}

var _ node.Letters = letters{}

func encodeEmission(e *pipeline.Emission) []byte { return deadletter.AppendEmission(nil, e) }

func (letters) Target(data []byte) (string, error) {
	e, _, err := deadletter.DecodeEmission(data)
	return e.Topic, err
}

func (letters) Build(from node.Origin, emissions []partition.Emission, _ int64) ([]byte, error) {
	var b *record.Builder
	var base int64
	for i, item := range emissions {
		e, _, err := deadletter.DecodeEmission(item.Data)
		if err != nil {
			return nil, fmt.Errorf("emission %d: %w", item.Position, err)
		}
		if b == nil {
			base = e.Timestamp
			b = record.NewBuilder(record.DefaultParams(record.None, base))
		}
		r := deadletter.Record(&e, deadletter.Origin{
			Topic: from.Topic, Partition: from.Partition.Index, BaseOffset: int64(item.Base), AppendTime: item.Time,
		}, base)
		r.OffsetDelta = int32(i)
		if err := b.Append(&r); err != nil {
			return nil, fmt.Errorf("emission %d: %w", item.Position, err)
		}
	}
	failpoint.Hit(failpoint.LettersBuilt)
	return b.Finish(-1)
}
