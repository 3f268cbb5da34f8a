package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// placeKind says how an offset is named on the command line.
type placeKind int

const (
	placeStart placeKind = iota
	placeEnd
	placeOffset // an offset
	placeLast   // so many offsets before the end
	placeTime   // the first record at or after a time
)

// place is an offset as the command line names it, for any partition.
type place struct {
	kind placeKind
	n    int64 // an offset, a number of offsets, or ms since 1970
}

const placeHelp = "start, end, an OFFSET, -N (the last N), @TIME (ms since 1970, or like 2026-01-31T12:00:00Z)"

// parsePlace reads an offset of the command line.
func parsePlace(text string) (place, error) {
	switch text {
	case "start", "earliest", "beginning":
		return place{kind: placeStart}, nil
	case "end", "latest":
		return place{kind: placeEnd}, nil
	case "":
		return place{}, errors.New("is empty; write " + placeHelp)
	}
	if at, found := strings.CutPrefix(text, "@"); found {
		ms, err := parseTime(at)
		return place{placeTime, ms}, err
	}
	if last, found := strings.CutPrefix(text, "-"); found {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n <= 0 {
			return place{}, fmt.Errorf("%q is no offset; write %s", text, placeHelp)
		}
		return place{placeLast, n}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || text[0] == '+' {
		return place{}, fmt.Errorf("%q is no offset; write %s", text, placeHelp)
	}
	return place{placeOffset, n}, nil
}

// timeLayouts are the forms of a time without a zone, which is then local.
var timeLayouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02"}

// parseTime reads a time as ms since 1970.
func parseTime(text string) (int64, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return ms, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixMilli(), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q is no time; write ms since 1970, or like 2026-01-31T12:00:00Z", text)
}

// bounds are where the log of a partition starts and ends.
type bounds struct{ start, end int64 }

// spot names a partition.
type spot struct {
	topic     string
	partition int32
}

func (s spot) String() string { return fmt.Sprintf("%s, partition %d", s.topic, s.partition) }

// resolve returns the offset that the place names in a partition, brought into
// its bounds. atTime is the offset of the place's time there.
func (p place) resolve(b bounds, atTime int64) int64 {
	at := b.start
	switch p.kind {
	case placeStart:
	case placeEnd:
		at = b.end
	case placeOffset:
		at = p.n
	case placeLast:
		if p.n <= b.end-b.start {
			at = b.end - p.n
		}
	case placeTime:
		at = atTime
	}
	return min(max(at, b.start), b.end)
}

// boundsOf asks for the bounds of all partitions of topics. With committed the
// end is the last stable offset.
func (k *cluster) boundsOf(committed bool, topics ...string) (map[spot]bounds, error) {
	ctx, cancel := k.ask()
	defer cancel()
	starts, err := k.admin.ListStartOffsets(ctx, topics...)
	if err != nil && len(starts) == 0 {
		return nil, k.explain(err)
	}
	list := k.admin.ListEndOffsets
	if committed {
		list = k.admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil && len(ends) == 0 {
		return nil, k.explain(err)
	}
	all := map[spot]bounds{}
	if err := eachListed(ends, func(s spot, o kadm.ListedOffset) { all[s] = bounds{end: o.Offset} }); err != nil {
		return nil, err
	}
	err = eachListed(starts, func(s spot, o kadm.ListedOffset) {
		if b, found := all[s]; found {
			b.start = min(o.Offset, b.end)
			all[s] = b
		}
	})
	return all, err
}

// offsetsAt asks for the first offsets at or after a time: the end where there
// is none.
func (k *cluster) offsetsAt(ms int64, topics ...string) (map[spot]int64, error) {
	ctx, cancel := k.ask()
	defer cancel()
	list, err := k.admin.ListOffsetsAfterMilli(ctx, ms, topics...)
	if err != nil && len(list) == 0 {
		return nil, k.explain(err)
	}
	all := map[spot]int64{}
	err = eachListed(list, func(s spot, o kadm.ListedOffset) { all[s] = o.Offset })
	return all, err
}

// eachListed calls f with every offset, and fails if one could not be listed.
func eachListed(list kadm.ListedOffsets, f func(spot, kadm.ListedOffset)) error {
	var failed error
	list.Each(func(o kadm.ListedOffset) {
		s := spot{o.Topic, o.Partition}
		if o.Err != nil {
			if o.Partition < 0 {
				failed = blame("topic "+o.Topic, o.Err, "")
			} else {
				failed = blame("topic "+s.String(), o.Err, "")
			}
			return
		}
		f(s, o)
	})
	return failed
}

// locator turns places into offsets of partitions.
type locator struct {
	bounds map[spot]bounds
	atTime map[spot]int64
	place  place
}

// locate asks for what is needed to resolve a place in topics.
func (k *cluster) locate(p place, all map[spot]bounds, topics ...string) (locator, error) {
	l := locator{bounds: all, place: p}
	if p.kind != placeTime {
		return l, nil
	}
	var err error
	l.atTime, err = k.offsetsAt(p.n, topics...)
	return l, err
}

// at returns the offset of the place in a partition.
func (l locator) at(s spot) int64 {
	b := l.bounds[s]
	t, found := l.atTime[s]
	if !found {
		t = b.end
	}
	return l.place.resolve(b, t)
}
