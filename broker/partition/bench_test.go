package partition

import (
	"testing"

	"github.com/varvelog/varve/broker/replog"
)

// BenchmarkProduceApply takes one batch of 16 KiB through the sequencer and the
// apply of one replica.
func BenchmarkProduceApply(b *testing.B) {
	for _, c := range []struct {
		name string
		spec spec
	}{{"idempotent", spec{id: 7, size: 16 << 10}}, {"plain", spec{id: -1, seq: -1, size: 16 << 10}}} {
		b.Run(c.name, func(b *testing.B) {
			log := &queue{}
			s := newSite(b, nil, log)
			s.p.Lead(1)
			batch, header := c.spec.build(b), c.spec.header(b)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				header.BaseSequence = int32(i)
				if c.spec.id < 0 {
					header.BaseSequence = -1
				}
				a := &Append{Header: header, Done: func(a *Append) {
					if a.Err != nil {
						b.Fatal(a.Err)
					}
				}}
				a.Entry = NewEntry(batch, int64(i), 0, func(p []byte) {
					p[53], p[54], p[55], p[56] = byte(header.BaseSequence>>24), byte(header.BaseSequence>>16), byte(header.BaseSequence>>8), byte(header.BaseSequence)
				})
				s.p.Produce(a)
				item := log.items[0]
				log.items = log.items[:0]
				if err := s.p.Apply(replog.Entry{Index: uint64(i + 1), Term: 1, Data: item.data, Token: item.token}); err != nil {
					b.Fatal(err)
				}
				if i%256 == 255 {
					b.StopTimer()
					s.work(false)
					b.StartTimer()
				}
			}
		})
	}
}
