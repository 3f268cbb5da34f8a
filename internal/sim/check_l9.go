package sim

import (
	"errors"

	"github.com/varvelog/varve/broker/partition"
	"github.com/varvelog/varve/internal/ident"
)

// lookUp: L9. The first record at or above a timestamp, and the record with the
// largest one, are what a scan finds.
func (s *run) lookUp(p *part, b *broker, at *partition.Partition, ts int64) {
	disk := b.server.disk
	if disk.damaged("partitions/" + p.id.Dir()) {
		return
	}
	records, ok := s.scan(p, b, at)
	if !ok || disk.lost {
		return
	}
	o0, err := at.Offsets()
	if err != nil {
		return
	}
	start := o0.LocalStart // what is in the tier is looked up by the broker's edges
	want, wantAt := ident.Offset(-1), int64(-1)
	most, mostAt := ident.Offset(-1), int64(-1)
	for _, r := range records {
		if r.offset < start {
			continue
		}
		if want < 0 && r.time >= ts {
			want, wantAt = r.offset, r.time
		}
		if r.time > mostAt {
			most, mostAt = r.offset, r.time
		}
	}
	o, t, _, found, err := at.OffsetForTimestamp(ts)
	if disk.lost || errors.Is(err, partition.ErrNotLeader) {
		return
	}
	if err != nil || found != (want >= 0) || found && (o != want || t != wantAt) {
		s.fail("L9", "%s: timestamp %d is found at %d (%d, %v, %v), a scan finds it at %d (%d)", p.name, ts, o, t, found, err, want, wantAt)
	}
	o, t, _, found, err = at.MaxTimestamp()
	if disk.lost {
		return
	}
	if err != nil || found != (most >= 0) || found && (o != most || t != mostAt) {
		s.fail("L9", "%s: the largest timestamp is found at %d (%d, %v, %v), a scan finds it at %d (%d)", p.name, o, t, found, err, most, mostAt)
	}
}
