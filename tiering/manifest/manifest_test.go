package manifest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/varvelog/varve/internal/ident"
	"github.com/varvelog/varve/tiering/objstore"
)

func segment(base, end ident.Offset, maxTimestamp int64) Segment {
	return Segment{Base: base, End: end, Term: 3, ID: ID{1, byte(base)}, DataBytes: int64(end-base) * 10,
		ObjectBytes: DataOffset + int64(end-base)*10 + 100, MaxTimestamp: maxTimestamp, CommittedAt: 9, TailCRC: 77}
}

func listOf(t *testing.T, s ...Segment) List {
	t.Helper()
	var l List
	for _, x := range s {
		var err error
		if l, err = l.Append(x); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestListFindsByOffset(t *testing.T) {
	l := listOf(t, segment(5, 10, 1), segment(10, 11, 2), segment(11, 50, 3))
	for _, c := range []struct {
		at ident.Offset
		i  int
		ok bool
	}{{0, 0, false}, {4, 0, false}, {5, 0, true}, {9, 0, true}, {10, 1, true}, {11, 2, true}, {49, 2, true}, {50, 3, false}} {
		if i, ok := l.Find(c.at); i != c.i || ok != c.ok {
			t.Errorf("Find(%d) = %d, %t; want %d, %t", c.at, i, ok, c.i, c.ok)
		}
	}
}

func TestListFindsByTimestamp(t *testing.T) {
	l := listOf(t, segment(0, 1, 100), segment(1, 2, -1), segment(2, 3, 90), segment(3, 4, 200))
	for _, c := range []struct {
		from int
		ts   int64
		want int
	}{{0, 0, 0}, {0, 100, 0}, {0, 101, 3}, {1, 50, 2}, {0, 201, 4}, {4, 0, 4}} {
		if got := l.SinceTimestamp(c.from, c.ts); got != c.want {
			t.Errorf("SinceTimestamp(%d, %d) = %d, want %d", c.from, c.ts, got, c.want)
		}
	}
}

func TestGapIsRefused(t *testing.T) {
	l := listOf(t, segment(0, 10, 1))
	for _, s := range []Segment{segment(11, 20, 1), segment(9, 20, 1), segment(0, 10, 1)} {
		if _, err := l.Append(s); !errors.Is(err, ErrGap) {
			t.Errorf("Append(%d to %d): %v", s.Base, s.End, err)
		}
	}
	bad := segment(10, 20, 1)
	bad.ObjectBytes = DataOffset + bad.DataBytes
	if _, err := l.Append(bad); err == nil {
		t.Error("a segment without a tail was taken")
	}
}

// A list that was handed out stays what it was while the owner goes on.
func TestListsDoNotChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type seen struct {
		l    List
		want []Segment
	}
	var all []seen
	var l List
	var want []Segment
	next := ident.Offset(0)
	for range 500 {
		if rng.IntN(4) > 0 || len(want) == 0 {
			s := segment(next, next+1+ident.Offset(rng.IntN(9)), 1)
			next = s.End
			var err error
			if l, err = l.Append(s); err != nil {
				t.Fatal(err)
			}
			want = append(bytesOf(want), s)
		} else {
			n := rng.IntN(len(want))
			var gone []Segment
			l, gone = l.Trim(want[n].Base)
			if len(gone) != n {
				t.Fatalf("trimmed %d, want %d", len(gone), n)
			}
			want = bytesOf(want[n:])
		}
		all = append(all, seen{l, want})
	}
	for _, s := range all {
		if s.l.Len() != len(s.want) {
			t.Fatalf("%d segments, want %d", s.l.Len(), len(s.want))
		}
		sum := int64(0)
		for i := range s.want {
			if *s.l.At(i) != s.want[i] {
				t.Fatalf("segment %d is %+v, want %+v", i, *s.l.At(i), s.want[i])
			}
			sum += s.want[i].DataBytes
		}
		if sum != s.l.DataBytes() {
			t.Fatalf("%d bytes, want %d", s.l.DataBytes(), sum)
		}
	}
}

func bytesOf(s []Segment) []Segment { return append([]Segment(nil), s...) }

func TestKeyRoundTrip(t *testing.T) {
	p := ident.Partition{Topic: ident.TopicID{0xab, 1}, Index: 12}
	s := segment(1234, 1300, 1)
	key := s.Key("cluster-1", p)
	if err := objstore.CheckKey(key); err != nil {
		t.Fatal(err)
	}
	gotP, got, err := ParseKey("cluster-1", key)
	if err != nil || gotP != p || got.Base != s.Base || got.Term != s.Term || got.ID != s.ID {
		t.Fatalf("%v %+v %v", gotP, got, err)
	}
	if later := segment(20000, 20001, 1); later.Key("cluster-1", p) < key {
		t.Error("keys do not ascend with the base offset")
	}
	for _, bad := range []string{"", key + "x", "x" + key, strings.Replace(key, "/12/", "/012/", 1), strings.ToUpper(key), strings.Replace(key, "-3-", "-03-", 1)} {
		if _, _, err := ParseKey("cluster-1", bad); !errors.Is(err, ErrKey) {
			t.Errorf("ParseKey(%q): %v", bad, err)
		}
	}
}

func FuzzDecodeList(f *testing.F) {
	l, _ := List{}.Append(segment(0, 10, 5))
	l, _ = l.Append(segment(10, 11, -1))
	f.Add(l.AppendTo(nil))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, rest, err := DecodeList(b)
		if err != nil {
			return
		}
		if again := append(l.AppendTo(nil), rest...); !bytes.Equal(again, b) {
			t.Fatal("accepted bytes that it would not write")
		}
	})
}

func FuzzParseKey(f *testing.F) {
	s := segment(1, 2, 3)
	f.Add(s.Key("c", ident.Partition{Index: 1}))
	f.Fuzz(func(t *testing.T, key string) {
		p, s, err := ParseKey("c", key)
		if err == nil && s.Key("c", p) != key {
			t.Fatal("another key")
		}
	})
}
