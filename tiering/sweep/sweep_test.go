package sweep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/manifest"
	"github.com/varvelog/varve/tiering/objstore"
	"github.com/varvelog/varve/tiering/sweep"
)

const cluster = "cluster-1"

var later = time.Now().Add(time.Hour) // behind whatever a test stores

func open(t testing.TB) objstore.Store {
	t.Helper()
	st, err := objstore.Open(t.Context(), "mem://", objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func put(t testing.TB, st objstore.Store, key string) string {
	t.Helper()
	if _, err := st.Put(context.Background(), key, bytes.NewReader([]byte("x")), 1, objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	return key
}

func partition(topic, index int) ident.Partition {
	return ident.Partition{Topic: ident.TopicID{byte(topic + 1)}, Index: int32(index)}
}

// object stores a segment's object; id tells two of the same offset apart.
func object(t testing.TB, st objstore.Store, p ident.Partition, base ident.Offset, id int) (string, manifest.Segment) {
	t.Helper()
	s := manifest.Segment{Base: base, Term: 2, ID: manifest.ID{byte(id), byte(id >> 8), 1}}
	return put(t, st, s.Key(cluster, p)), s
}

func keys(orphans []sweep.Orphan) []string {
	out := []string{}
	for _, o := range orphans {
		out = append(out, o.Key)
	}
	return out
}

func none(manifest.Segment) bool { return false }

// S3: nothing that a manifest names, is too young, or belongs to a partition of
// which too little is known, is an orphan.
func TestS3Orphans(t *testing.T) {
	st := open(t)
	_, live := object(t, st, partition(0, 0), 0, 1)
	deposed, _ := object(t, st, partition(0, 0), 0, 2) // same offset, another upload
	object(t, st, partition(0, 1), 0, 3)               // of a partition led elsewhere
	gone, seg := object(t, st, partition(1, 0), 70, 4) // of a deleted topic
	bare, _ := object(t, st, partition(2, 0), 0, 5)    // of an empty manifest
	object(t, st, partition(3, 0), 0, 6)               // of a topic that nobody knows
	object(t, st, partition(4, 0), 0, 7)               // Current, but without its manifest
	unknown := []string{
		put(t, st, cluster+"/segments/readme"),
		put(t, st, cluster+"/segments/"+partition(0, 0).Topic.Hex()+"/0/123.tmp"),
		put(t, st, cluster+"/segments/"+partition(1, 0).Topic.Hex()+"/0/00000000000000000070-02-"+fmt.Sprintf("%x", seg.ID)+".segment"),
	}
	put(t, st, cluster+"/manifests/1")   // not below the prefix
	put(t, st, "cluster-2/segments/any") // another cluster

	asked := map[ident.Partition]int{}
	known := func(p ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		asked[p]++
		switch p {
		case partition(0, 0):
			return func(s manifest.Segment) bool { return s.ID == live.ID && s.Base == live.Base && s.Term == live.Term }, sweep.Current
		case partition(1, 0):
			return nil, sweep.Gone
		case partition(2, 0):
			return none, sweep.Current
		case partition(4, 0):
			return nil, sweep.Current
		}
		return none, sweep.Unsure
	}
	r, err := sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: later})
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(r.Orphans); !slices.Equal(got, []string{deposed, gone, bare}) {
		t.Errorf("orphans %v", got)
	}
	for _, o := range r.Orphans {
		if o.TopicGone != (o.Key == gone) || o.Bytes != 1 || o.Modified.IsZero() || o.Segment.Key(cluster, o.Partition) != o.Key {
			t.Errorf("%+v", o)
		}
	}
	var got []string
	for _, o := range r.Unknown {
		got = append(got, o.Key)
	}
	slices.Sort(got)
	slices.Sort(unknown)
	if !slices.Equal(got, unknown) {
		t.Errorf("unknown %v, want %v", got, unknown)
	}
	if r.Referenced != 1 || r.Unsure != 3 || r.Young != 0 || r.Next != "" {
		t.Errorf("%+v", r)
	}
	for p, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times about %v", n, p)
		}
	}
}

// S3: an upload that is under way is left alone, and nobody is asked about it.
func TestS3Grace(t *testing.T) {
	st := open(t)
	object(t, st, partition(0, 0), 0, 1)
	known := func(ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		t.Error("asked")
		return none, sweep.Gone
	}
	r, err := sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: time.Now().Add(-time.Hour)})
	if err != nil || len(r.Orphans) != 0 || r.Young != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	// The boundary is young.
	info, err := st.List(t.Context(), "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err = sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: info[0].Modified})
	if err != nil || len(r.Orphans) != 0 || r.Young != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// ageless is a store that does not tell when an object was made.
type ageless struct{ objstore.Store }

func (s ageless) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Object, error) {
	page, err := s.Store.List(ctx, prefix, after, limit)
	for i := range page {
		page[i].Modified = time.Time{}
	}
	return page, err
}

func TestS3ObjectsWithoutAge(t *testing.T) {
	st := open(t)
	object(t, st, partition(0, 0), 0, 1)
	r, err := sweep.Orphans(t.Context(), ageless{st}, cluster, gone, sweep.Options{OlderThan: later})
	if err != nil || len(r.Orphans) != 0 || len(r.Unknown) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func gone(ident.Partition) (func(manifest.Segment) bool, sweep.State) { return nil, sweep.Gone }

// Sweeps in steps of any size find the same as one, each object once.
func TestPaging(t *testing.T) {
	st := open(t)
	rng := rand.New(rand.NewPCG(1, 1))
	want := []string{}
	for n := range 2100 {
		p := partition(rng.IntN(3), rng.IntN(4))
		key, _ := object(t, st, p, ident.Offset(rng.IntN(1000)), n)
		if p.Index > 0 {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	known := func(p ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		return func(manifest.Segment) bool { return p.Index == 0 }, sweep.Current
	}
	for _, o := range []sweep.Options{{}, {Limit: 1000}, {Limit: 97}, {Limit: 5000}, {Scan: 333}, {Scan: 1000, Limit: 10_000}, {Scan: 2100, Limit: 2100}} {
		o.OlderThan = later
		got := []string{}
		for range 2500 {
			r, err := sweep.Orphans(t.Context(), st, cluster, known, o)
			if err != nil {
				t.Fatal(err)
			}
			if o.Limit > 0 && len(r.Orphans) > o.Limit {
				t.Fatalf("%d orphans, the limit is %d", len(r.Orphans), o.Limit)
			}
			got = append(got, keys(r.Orphans)...)
			if o.After = r.Next; o.After == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d orphans, want %d", o, len(got), len(want))
		}
	}
}

// S3: a commit between the listing and the question is seen.
func TestS3CommitDuringTheListing(t *testing.T) {
	inner := open(t)
	_, seg := object(t, inner, partition(0, 0), 0, 1)
	committed := map[manifest.ID]bool{}
	st := objstore.NewFaulty(inner, func(_ context.Context, op objstore.Op) objstore.Fault {
		committed[seg.ID] = true // while the store lists
		return objstore.Fault{}
	})
	known := func(ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		now := committed[seg.ID]
		return func(manifest.Segment) bool { return now }, sweep.Current
	}
	r, err := sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: later})
	if err != nil || len(r.Orphans) != 0 || r.Referenced != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// S4: a stale listing makes no orphan of what is referenced, and hides some until
// the next sweep.
func TestS4StaleLists(t *testing.T) {
	inner := open(t)
	stale := 0
	st := objstore.NewFaulty(inner, func(_ context.Context, op objstore.Op) objstore.Fault {
		return objstore.Fault{Stale: stale}
	})
	var all []string
	live := map[manifest.ID]bool{}
	for n := range 10 {
		key, seg := object(t, st, partition(0, 0), ident.Offset(n), n)
		if live[seg.ID] = n%2 == 0; n%2 == 1 {
			all = append(all, key)
		}
	}
	known := func(ident.Partition) (func(manifest.Segment) bool, sweep.State) {
		return func(s manifest.Segment) bool { return live[s.ID] }, sweep.Current
	}
	for stale = 10; stale >= 0; stale-- {
		r, err := sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: later})
		if err != nil || !slices.Equal(keys(r.Orphans), all[:(10-stale)/2]) {
			t.Fatalf("stale by %d: %v, %v", stale, keys(r.Orphans), err)
		}
	}
	if err := st.Delete(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	stale = 1
	r, err := sweep.Orphans(t.Context(), st, cluster, known, sweep.Options{OlderThan: later})
	if err != nil || !slices.Equal(keys(r.Orphans), all) {
		t.Errorf("%v, %v", keys(r.Orphans), err)
	}
}

func TestFailuresOfTheStore(t *testing.T) {
	inner := open(t)
	for n := range 1500 {
		object(t, inner, partition(0, 0), ident.Offset(n), n)
	}
	failAt := int64(2)
	st := objstore.NewFaulty(inner, func(_ context.Context, op objstore.Op) objstore.Fault {
		if op.N == failAt {
			return objstore.Fault{Err: objstore.ErrUnavailable}
		}
		return objstore.Fault{}
	})
	r, err := sweep.Orphans(t.Context(), st, cluster, gone, sweep.Options{OlderThan: later, Limit: 5000})
	if !objstore.Retriable(err) || len(r.Orphans) != 1000 || r.Next != r.Orphans[999].Key {
		t.Fatalf("%d orphans, %v", len(r.Orphans), err)
	}
	rest, err := sweep.Orphans(t.Context(), st, cluster, gone, sweep.Options{OlderThan: later, Limit: 5000, After: r.Next})
	if err != nil || len(rest.Orphans) != 500 || rest.Next != "" {
		t.Fatalf("%d orphans, %v", len(rest.Orphans), err)
	}
}

func TestArguments(t *testing.T) {
	st := open(t)
	ctx := t.Context()
	for _, c := range []struct {
		cluster string
		o       sweep.Options
	}{{"", sweep.Options{OlderThan: later}}, {cluster, sweep.Options{}}, {cluster, sweep.Options{OlderThan: later, Limit: -1}}, {cluster, sweep.Options{OlderThan: later, Scan: -1}}} {
		if _, err := sweep.Orphans(ctx, st, c.cluster, gone, c.o); !errors.Is(err, sweep.ErrArgument) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, _, err := sweep.DeleteTopic(ctx, st, cluster, ident.TopicID{}, ""); !errors.Is(err, sweep.ErrArgument) {
		t.Error(err)
	}
	if _, _, err := sweep.DeleteTopic(ctx, st, "", ident.TopicID{1}, ""); !errors.Is(err, sweep.ErrArgument) {
		t.Error(err)
	}
}

// S3: exactly the topic's segments go, however often the store fails.
func TestS3DeleteTopic(t *testing.T) {
	inner := open(t)
	rng := rand.New(rand.NewPCG(5, 5))
	st := objstore.NewFaulty(inner, func(_ context.Context, op objstore.Op) objstore.Fault {
		switch {
		case op.Kind == objstore.OpPut || rng.IntN(300) > 0:
			return objstore.Fault{}
		case rng.IntN(2) == 0:
			return objstore.Fault{Lost: true}
		}
		return objstore.Fault{Err: objstore.ErrUnavailable}
	})
	want := []string{}
	for n := range 2200 {
		object(t, inner, partition(1, n%5), ident.Offset(n), n)
	}
	for _, topic := range []int{0, 2} {
		key, _ := object(t, inner, partition(topic, 0), 0, 1)
		want = append(want, key)
	}
	topic := partition(1, 0).Topic
	want = append(want, put(t, inner, manifest.TopicPrefix(cluster, topic)+"0/what-is-this"))
	slices.Sort(want)

	total, rounds, after := 0, 0, ""
	for more := true; more && rounds < 200; rounds++ {
		n, next, err := sweep.DeleteTopic(t.Context(), st, cluster, topic, after)
		if n > objstore.ListMax || next != "" && next < after {
			t.Fatalf("%d from behind %q to %q, %v", n, after, next, err)
		}
		total, after, more = total+n, next, next != "" || err != nil
	}
	if after != "" || total > 2200 || rounds < 3 {
		t.Errorf("%d deleted in %d rounds, next is %q", total, rounds, after)
	}
	var got []string
	page, err := inner.List(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page {
		got = append(got, o.Key)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if n, next, err := sweep.DeleteTopic(t.Context(), inner, cluster, topic, ""); n != 0 || next != "" || err != nil {
		t.Errorf("again: %d, %q, %v", n, next, err)
	}
}

// Objects that stay do not keep those behind them from being deleted.
func TestDeleteTopicBehindUnknownObjects(t *testing.T) {
	st := open(t)
	p := partition(1, 0)
	for n := range 1200 {
		put(t, st, fmt.Sprintf("%s0/%04d.tmp", manifest.TopicPrefix(cluster, p.Topic), n))
	}
	object(t, st, partition(1, 7), 0, 1)
	if n, calls := deleteAll(t, st, p.Topic); n != 1 || calls != 2 {
		t.Errorf("%d deleted in %d calls", n, calls)
	}
}

// deleteAll deletes the objects of a topic. It fails the test if that does not end.
func deleteAll(t *testing.T, st objstore.Store, topic ident.TopicID) (deleted, calls int) {
	t.Helper()
	after := ""
	for more := true; more; more = after != "" {
		if calls++; calls > 20 {
			t.Fatalf("no end after %d objects in %d calls, behind %q", deleted, calls-1, after)
		}
		n, next, err := sweep.DeleteTopic(t.Context(), st, cluster, topic, after)
		if err != nil {
			t.Fatal(err)
		}
		deleted, after = deleted+n, next
	}
	return deleted, calls
}

// frozen is a store whose listings are as old as it is.
type frozen struct {
	objstore.Store
	then []objstore.Object // ascending by key
}

func (f frozen) List(_ context.Context, prefix, after string, limit int) ([]objstore.Object, error) {
	var page []objstore.Object
	for _, o := range f.then {
		if strings.HasPrefix(o.Key, prefix) && o.Key > after && len(page) < limit {
			page = append(page, o)
		}
	}
	return page, nil
}

// A listing that goes on to have a full page of objects that are deleted does not
// hold up the deletion of a topic, which goes on to what is behind them and ends.
func TestDeleteTopicBehindAStalePage(t *testing.T) {
	inner := open(t)
	topic := partition(1, 0).Topic
	const objects = objstore.ListMax + 100
	for n := range objects {
		object(t, inner, partition(1, 0), ident.Offset(n), n)
	}
	var then []objstore.Object
	for after, more := "", true; more; {
		page, err := sweep.TopicObjects(t.Context(), inner, cluster, topic, after, objstore.ListMax)
		if err != nil {
			t.Fatal(err)
		}
		if then, more = append(then, page...), len(page) == objstore.ListMax; more {
			after = page[len(page)-1].Key
		}
	}
	if len(then) != objects {
		t.Fatalf("%d objects are listed", len(then))
	}
	st := frozen{inner, then}
	for _, life := range []string{"first", "next"} {
		if n, calls := deleteAll(t, st, topic); n != objects || calls != 2 {
			t.Errorf("%s time: %d deleted in %d calls", life, n, calls)
		}
		if left, err := sweep.TopicObjects(t.Context(), inner, cluster, topic, "", 10); err != nil || len(left) != 0 {
			t.Errorf("%s time: %d are left, %v", life, len(left), err)
		}
	}
}
