package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
)

// ErrArgument: an argument that would reach too far; a defect of the caller.
var ErrArgument = errors.New("sweep: invalid argument")

// State is what the caller knows of a partition.
type State uint8

const (
	// Unsure: the partition's manifest is not at hand, or may be old: it is led
	// elsewhere (a follower may lack what was committed long ago), or its leader
	// has not yet applied an entry of its own term, or nobody knows the topic,
	// but nobody has seen its deletion either. Its objects are left alone.
	Unsure State = iota
	// Current: the manifest is the newest one. Its objects are orphans unless
	// the manifest names them, live or awaiting their deletion.
	Current
	// Gone: the topic's deletion was applied. All its objects are orphans.
	Gone
)

// Known tells what is known of a partition now. For Current it also returns a
// function that tells whether the manifest names a segment, of which Base, Term
// and ID are set. It is called after the partition's objects were listed, at
// least once per page.
type Known func(p ident.Partition) (referenced func(manifest.Segment) bool, state State)

// Options say where a sweep begins and ends.
type Options struct {
	// OlderThan is the grace: what the store calls younger is left out, since
	// its commit may be under way. It must lie further back than an upload, its
	// verification and its commit take together, and than the clocks differ: S3
	// dates an object that was sent in parts by the begin of its upload.
	OlderThan time.Time
	// After is Report.Next of the call before; empty: the beginning.
	After string
	// Limit bounds orphans and unknown objects together; 0 means 1,000.
	Limit int
	// Scan bounds the objects that are looked at; 0 means 100,000.
	Scan int
}

const (
	limitDefault = 1000
	scanDefault  = 100_000
)

// Orphan is an object that nothing needs.
type Orphan struct {
	Key       string
	Partition ident.Partition
	Segment   manifest.Segment // Base, Term and ID only
	Bytes     int64
	Modified  time.Time
	// TopicGone tells that the partition does not exist any more.
	TopicGone bool
}

// Report is what a sweep found.
type Report struct {
	Orphans []Orphan
	// Unknown are objects below the prefix that are no segment's, or have no
	// age. They are for a human to look at.
	Unknown []objstore.Object
	// Referenced, Young and Unsure count the other objects: those that a
	// manifest names, those within the grace, those of partitions of which too
	// little is known.
	Referenced, Young, Unsure int
	// Next is where to go on; empty: all was seen.
	Next string
}

// Orphans lists the objects of a cluster's segments and reports those that no
// manifest names. An object that a stale listing does not show is found by a
// later sweep; one that it shows although it is gone may be reported, and
// deleting that does nothing. It deletes nothing. It fails as the store does,
// with what was found until then, and with ErrArgument.
func Orphans(ctx context.Context, store objstore.Store, cluster string, known Known, o Options) (Report, error) {
	r := Report{Next: o.After}
	if cluster == "" || o.OlderThan.IsZero() || o.Limit < 0 || o.Scan < 0 {
		return r, fmt.Errorf("%w: cluster %q, older than %v", ErrArgument, cluster, o.OlderThan)
	}
	if o.Limit == 0 {
		o.Limit = limitDefault
	}
	if o.Scan == 0 {
		o.Scan = scanDefault
	}
	for o.Scan > 0 {
		want := min(objstore.ListMax, o.Scan)
		page, err := store.List(ctx, manifest.ClusterPrefix(cluster), r.Next, want)
		if err != nil {
			return r, fmt.Errorf("list the segments of cluster %s behind %q: %w", cluster, r.Next, err)
		}
		s := sorter{report: &r, cluster: cluster, known: known, olderThan: o.OlderThan}
		for _, obj := range page {
			if len(r.Orphans)+len(r.Unknown) == o.Limit {
				return r, nil
			}
			s.sort(obj)
			r.Next = obj.Key
		}
		if len(page) < want {
			r.Next = ""
			return r, nil
		}
		o.Scan -= len(page)
	}
	return r, nil
}

// sorter puts the objects of one page into a report. Keys of a partition lie
// together, so it asks once for each.
type sorter struct {
	report    *Report
	cluster   string
	known     Known
	olderThan time.Time

	asked      bool
	partition  ident.Partition
	referenced func(manifest.Segment) bool
	state      State
}

func (s *sorter) sort(obj objstore.Object) {
	p, seg, err := manifest.ParseKey(s.cluster, obj.Key)
	if err != nil || obj.Modified.IsZero() {
		s.report.Unknown = append(s.report.Unknown, obj)
		return
	}
	if !obj.Modified.Before(s.olderThan) {
		s.report.Young++
		return
	}
	if !s.asked || p != s.partition {
		s.asked, s.partition = true, p
		s.referenced, s.state = s.known(p)
	}
	switch {
	case s.state == Gone:
	case s.state != Current || s.referenced == nil:
		s.report.Unsure++
		return
	case s.referenced(seg):
		s.report.Referenced++
		return
	}
	s.report.Orphans = append(s.report.Orphans, Orphan{
		Key: obj.Key, Partition: p, Segment: seg, Bytes: obj.Size, Modified: obj.Modified, TopicGone: s.state == Gone,
	})
}
