//go:build clients

package clients

import (
	"slices"
	"testing"

	"github.com/varvelog/varve/tests/clients/scenario"
)

// sighting is what members have seen of one record.
type sighting struct {
	times int
	// acked is how many of them committed it while they had its partition.
	acked int
}

// check compares what the members of a group have read with what was sent.
func (p *party) check(t *testing.T) {
	if p.err != nil {
		t.Fatal(p.err)
	}
	ledger := make([][]sighting, groupPartitions)
	for i := range ledger {
		ledger[i] = make([]sighting, p.ends[i])
	}
	failed := map[string]int{}
	for _, m := range p.ended {
		p.enter(t, ledger, m, failed)
	}
	twice := 0
	for partition, records := range ledger {
		for offset, s := range records {
			if p.since != nil && int64(offset) < p.since[partition] {
				continue
			}
			loud := int64(offset) >= p.loud[partition] && int64(offset) < p.calm[partition]
			switch {
			case s.times == 0:
				t.Fatalf("%d-%d was not read", partition, offset)
			case s.times > 1 && !loud:
				t.Fatalf("%d-%d was read %d times while nothing happened", partition, offset, s.times)
			case s.acked > 1:
				t.Fatalf("%d-%d was committed and read again", partition, offset)
			}
			twice += s.times - 1
		}
	}
	if p.v.static {
		p.unnoticed(t)
	}
	if p.v.client.name == "python" {
		p.kept(t)
	}
	t.Logf("ends %v, read again after the kill %d, commits that failed %v", p.ends, twice, failed)
}

// enter adds what one member has seen.
func (p *party) enter(t *testing.T, ledger [][]sighting, m scenario.Membership, failed map[string]int) {
	t.Helper()
	open := make([][]int64, groupPartitions) // seen and not committed
	for _, e := range m.Events {
		switch {
		case e.Record != nil:
			r := e.Record
			if r.Offset >= p.ends[r.Partition] || *r.Value != *scenario.Blob(p.value(int(r.Partition), r.Offset)) {
				t.Fatalf("%d-%d was read as %s", r.Partition, r.Offset, text(t, *r))
			}
			ledger[r.Partition][r.Offset].times++
			open[r.Partition] = append(open[r.Partition], r.Offset)
		case e.Committed != nil:
			for _, c := range e.Committed {
				open[c.Partition] = slices.DeleteFunc(open[c.Partition], func(offset int64) bool {
					if offset < c.Offset {
						ledger[c.Partition][offset].acked++
					}
					return offset < c.Offset
				})
			}
		case e.Revoked != nil:
			for _, partition := range *e.Revoked {
				open[partition] = nil
			}
		case e.Failed != "":
			failed[e.Failed]++
		}
	}
}

// unnoticed fails if the member that stayed was given or lost partitions while
// the other, a static one, was away: between the round of records behind the loud
// ones and the next, which was sent when the other was back.
func (p *party) unnoticed(t *testing.T) {
	t.Helper()
	stayed := p.ended[len(p.ended)-1]
	inside := false
	for _, e := range stayed.Events {
		switch {
		case e.Record != nil:
			back := p.calm[e.Record.Partition] + perRound
			if e.Record.Offset >= back {
				return
			}
			inside = e.Record.Offset >= p.calm[e.Record.Partition]
		case inside && (e.Assigned != nil || e.Revoked != nil):
			t.Errorf("while the other was away: assigned %v, revoked %v", e.Assigned, e.Revoked)
		}
	}
	t.Error("the member that stayed did not read on")
}

// kept fails if members were given or lost partitions while the broker was
// killed, which keeps who the members are. It asks only librdkafka: the Java
// client forgets the topic's partitions when no broker is there and so joins
// again, others may join again after any error, and kcat does not tell when.
func (p *party) kept(t *testing.T) {
	t.Helper()
	for _, m := range p.ended {
		var moved []scenario.Event
		inside := false
		for _, e := range m.Events {
			switch {
			case e.Record != nil:
				offset, partition := e.Record.Offset, e.Record.Partition
				inside = offset >= p.loud[partition] && offset < p.steady[partition]
				for _, x := range moved {
					if inside {
						t.Errorf("while the broker was away: assigned %v, revoked %v", x.Assigned, x.Revoked)
					}
				}
				moved = nil
			case inside && (e.Assigned != nil || e.Revoked != nil):
				moved = append(moved, e)
			}
		}
	}
}
