package repair

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/varvelog/varve/internal/vfs"
)

// A repair writes segments again before its new log counts. If it is cut short in
// between, what was lost in them is nowhere but in its report: the next repair still
// has to mark the producers' batches that were there (machineState.lose).
const (
	unfinishedName = "unfinished"
	reportBytesMax = 256 << 20
)

// earlier are the offsets that unfinished repairs lost, by partition.
type earlier struct {
	dirs []string // of their quarantines
	lost map[string][]OffsetRange
}

func partitionKey(topicID string, index int32) string { return fmt.Sprintf("%s-%d", topicID, index) }

// readEarlier reads the reports of unfinished repairs. One that is damaged says
// nothing.
func readEarlier(fs vfs.FS) (earlier, error) {
	e := earlier{lost: map[string][]OffsetRange{}}
	entries, err := fs.List(quarantineDir)
	if err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return e, err
	}
	for _, x := range entries {
		dir := quarantineDir + "/" + x.Name
		if f, err := fs.Open(dir + "/" + unfinishedName); err != nil {
			continue
		} else if err := f.Close(); err != nil {
			return e, err
		}
		e.dirs = append(e.dirs, dir)
		var r Report
		text, err := vfs.ReadFile(fs, dir+"/report.json", reportBytesMax)
		if err != nil || json.Unmarshal(text, &r) != nil {
			continue
		}
		for i := range r.Partitions {
			p := &r.Partitions[i]
			key := partitionKey(p.TopicID, p.Partition)
			e.lost[key] = append(e.lost[key], p.Holes...)
		}
	}
	return e, nil
}

// begin notes that a repair has begun, before anything is changed.
func (q *quarantine) begin() error {
	return vfs.WriteFileAtomic(q.fs, q.dir+"/"+unfinishedName, nil)
}

// finished forgets that repairs were unfinished: what they had to do is done.
func finished(fs vfs.FS, dirs []string) error {
	for _, dir := range dirs {
		if err := fs.Remove(dir + "/" + unfinishedName); err != nil && !errors.Is(err, vfs.ErrNotExist) {
			return err
		}
		if err := fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
