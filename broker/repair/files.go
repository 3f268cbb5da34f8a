package repair

import (
	"fmt"

	"github.com/varvelog/varve/broker/storage"
	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/internal/vfs"
)

// rewrite is a segment that is to be written anew without what is damaged.
type rewrite struct {
	data, index string // file names; index "" if there is none
	missing     bool   // there is no data file
	batches     []batchAt
	active      bool
}

// fileCheck is what a replica's files hold of what a checkpoint says.
type fileCheck struct {
	damage   []SegmentDamage
	lost     []OffsetRange
	rewrites []rewrite
	// position is where the files end after the repair.
	position storage.Position
	moved    bool         // it is not the one that was asked for
	epochs   []epochStart // of the replica
}

// checkFiles holds the files of a replica against a position. floor is the log
// start: what lies below is not missed. epochs are the replica's, nil if they are
// not known.
func checkFiles(fs vfs.FS, dir string, at storage.Position, epochs []epochStart) (*fileCheck, error) {
	c := &fileCheck{position: at, epochs: epochs}
	if at.ActiveBase < 0 {
		return c, nil
	}
	files, err := listSegments(fs, dir)
	if err != nil {
		return nil, err
	}
	var found []dirFile
	for _, f := range files {
		if f.base >= at.FirstBase && f.base <= at.ActiveBase {
			found = append(found, f)
		}
	}
	if len(found) == 0 || found[0].base != at.FirstBase {
		found = append([]dirFile{missingFile(dir, at.FirstBase)}, found...)
	}
	if found[len(found)-1].base != at.ActiveBase {
		found = append(found, missingFile(dir, at.ActiveBase))
	}
	for i := range found[:len(found)-1] {
		if err := c.sealed(fs, dir, found[i], found[i+1].base); err != nil {
			return nil, err
		}
	}
	return c, c.activeFile(fs, dir, found[len(found)-1])
}

func missingFile(dir string, base ident.Offset) dirFile {
	return dirFile{base: base, name: segmentName(dir, base, dataSuffix), size: -1, index: -1}
}

// sealed checks a closed segment, which ends where the next one that is there
// begins.
func (c *fileCheck) sealed(fs vfs.FS, dir string, f dirFile, next ident.Offset) error {
	limit := max(f.size, 0)
	if f.footed {
		limit = min(limit, f.footerBytes)
	}
	index := int64(0)
	if f.footed {
		index = -1
	}
	scan, err := c.scanFile(fs, dir, f, index, limit, next)
	if err != nil {
		return err
	}
	end := next
	if f.footed && f.footerEnd < next { // a segment between them is missing
		end = f.footerEnd
		c.miss(segmentName(dir, end, dataSuffix), -1, end, next, "segment is missing")
	}
	switch {
	case f.size < 0:
		c.miss(f.name, -1, f.base, end, "segment is missing")
	case f.footed && f.size < f.footerBytes:
		c.miss(f.name, f.size, scan.end, end, fmt.Sprintf("file has %d bytes, %d were written", f.size, f.footerBytes))
	}
	wrongEnd := f.footed && f.footerEnd != next
	if c.note(f, scan, end) || f.size < 0 || f.footed && f.size < f.footerBytes || wrongEnd {
		c.rewrites = append(c.rewrites, c.anew(dir, f, scan, false))
		return nil
	}
	if !f.footed {
		c.damage = append(c.damage, SegmentDamage{File: segmentName(dir, f.base, indexSuffix), Position: -1, Reason: "index is missing or damaged", Rebuilt: true})
	}
	return nil
}

// activeFile checks the active segment up to the position.
func (c *fileCheck) activeFile(fs vfs.FS, dir string, f dirFile) error {
	at := &c.position
	limit := min(max(f.size, 0), at.ActiveBytes)
	index := int64(0)
	if at.ActiveEnd >= 0 {
		index = at.ActiveIndexBytes
	}
	scan, err := c.scanFile(fs, dir, f, index, limit, at.LogEnd)
	if err != nil {
		return err
	}
	short := f.size < at.ActiveBytes && (f.size >= 0 || at.ActiveBytes > 0)
	if short {
		c.miss(f.name, max(f.size, 0), scan.end, at.LogEnd, fmt.Sprintf("file has %d bytes, %d were written", max(f.size, 0), at.ActiveBytes))
	}
	if !c.note(f, scan, at.LogEnd) && !short {
		return nil
	}
	c.rewrites = append(c.rewrites, c.anew(dir, f, scan, true))
	c.moved = true
	activePosition(at, scan.batches)
	return nil
}

// activePosition sets what a position says of the active segment to what a file
// of these batches, without an index, is.
func activePosition(at *storage.Position, batches []batchAt) {
	at.ActiveBytes, at.ActiveIndexed = 0, -1
	at.ActiveMaxTimestamp, at.ActiveMaxTimestampOffset, at.ActiveFirstTimestamp = -1, -1, -1
	at.ActiveEnd = -1 // opening finds it when it makes the index again
	for i := range batches {
		h := &batches[i].header
		if i == 0 {
			at.ActiveFirstTimestamp = h.MaxTimestamp
		}
		if h.MaxTimestamp > at.ActiveMaxTimestamp {
			at.ActiveMaxTimestamp, at.ActiveMaxTimestampOffset = h.MaxTimestamp, ident.Offset(h.BaseOffset)
		}
		at.ActiveBytes += int64(h.Size())
	}
	// More than there is: opening makes the index again.
	at.ActiveIndexBytes = 1
}

// scanFile reads a segment file up to a limit, and so many bytes of its index, -1:
// all.
func (c *fileCheck) scanFile(fs vfs.FS, dir string, f dirFile, index, limit int64, ceil ident.Offset) (segmentScan, error) {
	if f.size <= 0 {
		return segmentScan{end: f.base}, nil
	}
	names, err := f.indexed(fs, dir, index)
	if err != nil {
		return segmentScan{}, err
	}
	file, err := fs.Open(f.name)
	if err != nil {
		return segmentScan{}, err
	}
	defer file.Close()
	s := scanner{file: file, limit: limit, floor: f.base, ceil: ceil, names: names, epochs: c.epochs}
	scan, err := s.scan()
	if err != nil {
		return scan, fmt.Errorf("read %s: %w", f.name, err)
	}
	return scan, nil
}

// note takes the damage of a file down and reports whether there is any.
func (c *fileCheck) note(f dirFile, scan segmentScan, end ident.Offset) bool {
	for _, g := range scan.gaps {
		c.miss(f.name, g.pos, g.first, min(max(g.end, g.first), end), g.reason)
	}
	for i := range scan.batches {
		if b := &scan.batches[i]; b.mended {
			c.damage = append(c.damage, SegmentDamage{File: f.name, Position: b.pos, First: int64(b.header.BaseOffset), End: b.header.LastOffset() + 1,
				Reason: "one bit of a batch is wrong", Mended: true})
		}
	}
	return scan.damaged()
}

func (c *fileCheck) miss(file string, pos int64, first, end ident.Offset, reason string) {
	c.damage = append(c.damage, SegmentDamage{File: file, Position: pos, First: int64(first), End: int64(end), Reason: reason})
	if end > first {
		c.lost = append(c.lost, OffsetRange{First: int64(first), End: int64(end)})
	}
}

func (c *fileCheck) anew(dir string, f dirFile, scan segmentScan, active bool) rewrite {
	r := rewrite{data: f.name, missing: f.size < 0, batches: scan.batches, active: active}
	if f.index >= 0 {
		r.index = segmentName(dir, f.base, indexSuffix)
	}
	return r
}

// rebuiltPosition makes a position from the files alone, for a partition of
// which no checkpoint is left.
func rebuiltPosition(fs vfs.FS, dir string) (storage.Position, []epochStart, error) {
	files, err := listSegments(fs, dir)
	at := storage.EmptyPosition(0)
	if err != nil {
		return at, nil, err
	}
	var runs []epochRun
	var whole []dirFile
	for _, f := range files {
		if f.size >= 0 {
			whole = append(whole, f)
		}
	}
	for i, f := range whole {
		limit, ceil := f.size, ident.Offset(-1)
		if f.footed {
			limit = min(limit, f.footerBytes)
		}
		last := i == len(whole)-1
		if !last {
			ceil = whole[i+1].base
		}
		scan, err := scanOpen(fs, f, limit, ceil, last)
		if err != nil {
			return at, nil, err
		}
		runs = addRuns(runs, scan.batches)
		if i == 0 {
			at.LogStart, at.LocalStart, at.FirstBase = f.base, f.base, f.base
		}
		if last {
			at.ActiveBase, at.LogEnd = f.base, scan.end
			activePosition(&at, scan.batches)
			at.ActiveBytes = scan.bytes
		}
	}
	return at, epochsOf(runs), nil
}

// scanOpen is scanFile; with last, nothing is known of where the file ends.
func scanOpen(fs vfs.FS, f dirFile, limit int64, ceil ident.Offset, last bool) (segmentScan, error) {
	if f.size == 0 {
		return segmentScan{end: f.base}, nil
	}
	file, err := fs.Open(f.name)
	if err != nil {
		return segmentScan{}, err
	}
	defer file.Close()
	s := scanner{file: file, limit: limit, floor: f.base, ceil: ceil}
	scan, err := s.scan()
	if n := len(scan.gaps); err == nil && last && n > 0 && scan.gaps[n-1].to == limit {
		// Behind the last batch lies what a checkpoint never counted.
		scan.bytes = scan.gaps[n-1].pos
		scan.gaps = scan.gaps[:n-1]
	}
	return scan, err
}
