package repair

import "github.com/varvelog/varve/broker/wal"

// Report is what Inspect found: what is damaged and what Repair would give up.
// Its JSON is what `varve repair --output json` prints and what lies in the
// quarantine.
type Report struct {
	// Needed says that there is something to repair.
	Needed bool `json:"needed"`
	// Refused says that a broker would not start at all.
	Refused bool `json:"refused"`
	// Obstacle is why Repair cannot help; empty if it can.
	Obstacle string `json:"obstacle,omitempty"`
	// Log is what is damaged in the write-ahead log.
	Log []LogDamage `json:"log"`
	// Leftover are files of the write-ahead log that an interrupted repair, or a
	// broker, no longer needs.
	Leftover []string `json:"leftover,omitempty"`
	// Metadata is set if group 0 lost something.
	Metadata *MetadataLoss `json:"metadata,omitempty"`
	// Partitions are those with damage, by topic and partition.
	Partitions []PartitionReport `json:"partitions"`
	// Whole counts the partitions without any.
	Whole int `json:"whole"`
	// Quarantine is where Repair put what it replaced; empty before.
	Quarantine string `json:"quarantine,omitempty"`

	plan *plan
}

// LogDamage is one damaged place of the write-ahead log.
type LogDamage struct {
	File     string   `json:"file"`
	Offset   int64    `json:"offset"`   // in the file
	Position int64    `json:"position"` // in the log
	End      int64    `json:"end"`      // position behind it
	Groups   []uint64 `json:"groups"`   // that lost a record there, as far as that can be read
	// AnyGroup says that other groups may have lost some there too. Those that
	// did are among Partitions.
	AnyGroup bool     `json:"any_group"`
	Names    []string `json:"names"` // of the groups
	Reason   string   `json:"reason"`
	// Corrected are the bytes of the file of which one bit was wrong and was put
	// right: nothing is lost by these.
	Corrected []int64 `json:"corrected,omitempty"`
}

// Loss is the end of a group's log that is gone.
type Loss struct {
	// FirstIndex is the index of the first entry that is lost.
	FirstIndex uint64 `json:"first_index"`
	// Entries is how many are known to be lost. More may have stood behind the
	// last one that is known.
	Entries uint64 `json:"entries"`
	// Certain says that something is lost; else it only may be.
	Certain bool `json:"certain"`
	// Term is the one at which the group goes on, above any that it had.
	Term uint64 `json:"term"`
}

// MetadataLoss is what the cluster metadata lost.
type MetadataLoss struct {
	Loss
	// Groups are partitions that metadata no longer name: their topics were
	// created in what is lost. Their records go to the quarantine.
	Groups []uint64 `json:"groups,omitempty"`
}

// OffsetRange is the offsets from First on and below End.
type OffsetRange struct {
	First int64 `json:"first"`
	End   int64 `json:"end"`
}

// SegmentDamage is one damaged place of a partition's files.
type SegmentDamage struct {
	File     string `json:"file"`
	Position int64  `json:"position"` // byte in the file, -1: the whole file
	// Offsets from First on and below End are concerned.
	First  int64  `json:"first"`
	End    int64  `json:"end"`
	Reason string `json:"reason"`
	// Mended: it can be put right without loss. Rebuilt: a broker does so by
	// itself when it starts, so this alone needs no repair.
	Mended  bool `json:"mended"`
	Rebuilt bool `json:"rebuilt"`
}

// PartitionReport is a partition with damage.
type PartitionReport struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Group     uint64 `json:"group"`
	// End is where the log ends after the repair, before anything new is written.
	End int64 `json:"end"`
	// Lost is the end of its log, if that is lost: offsets from End on may have
	// been acknowledged.
	Lost *Loss `json:"lost,omitempty"`
	// Holes are ranges of offsets whose batches are lost, below End.
	Holes []OffsetRange `json:"holes,omitempty"`
	// Segments are the damaged places of its files.
	Segments []SegmentDamage `json:"segments,omitempty"`
	// Recovered counts batches that the write-ahead log lost and that its files
	// still had.
	Recovered int `json:"recovered"`
	// Rebuilt says that no checkpoint of it is left: producers, dead letters that
	// were not delivered and what is in the cold tier are forgotten.
	Rebuilt bool `json:"rebuilt"`
	// Letters says that dead letters may be lost, or be delivered twice.
	Letters bool `json:"letters"`
	// Uploads says that segments which went to the cold tier since the newest
	// checkpoint may go there again. Nothing names their first objects then.
	Uploads bool `json:"uploads"`
	// Problem is what Repair cannot put right; the partition stays parked.
	Problem string `json:"problem,omitempty"`
}

// Loses reports whether Repair would give up anything that may have been
// acknowledged, or leave something behind that it cannot put right.
func (r *Report) Loses() bool {
	if r.Metadata != nil {
		return true
	}
	for i := range r.Partitions {
		if p := &r.Partitions[i]; p.Lost != nil || len(p.Holes) > 0 || p.Rebuilt || p.Problem != "" {
			return true
		}
	}
	return false
}

// Partition finds the report of a partition by topic id in hexadecimal digits
// and index, nil if it has no damage.
func (r *Report) Partition(topicID string, index int32) *PartitionReport {
	for i := range r.Partitions {
		if p := &r.Partitions[i]; p.TopicID == topicID && p.Partition == index {
			return p
		}
	}
	return nil
}

func logDamage(s *wal.Salvaged) []LogDamage {
	out := []LogDamage{}
	for i := range s.Holes {
		h := &s.Holes[i]
		d := LogDamage{File: h.File, Offset: h.Offset, Position: h.From, End: h.To, AnyGroup: h.Any, Groups: []uint64{}, Names: []string{},
			Reason: h.Reason, Corrected: h.Corrected}
		for _, g := range h.Groups {
			d.Groups = append(d.Groups, uint64(g))
		}
		out = append(out, d)
	}
	return out
}
