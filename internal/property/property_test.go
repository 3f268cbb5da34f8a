package property

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func prop(typ Type, def string) Property {
	return Property{Name: "a.b", Type: typ, Default: def, Scope: StaticBroker, Doc: "d"}
}

func TestParse(t *testing.T) {
	bounded := prop(Int, "5")
	bounded.Bounds, bounded.Also = Between(1, 9), []int64{-1}
	enum, list, free := prop(Enum, "x"), prop(List, ""), prop(List, "")
	enum.Values, list.Values, list.ItemsMax = []string{"x", "yonder"}, []string{"x", "y"}, 2
	ratio := prop(Double, "0.5")
	ratio.MaxReal = 1
	checked := prop(String, "")
	checked.Check = func(v Value) error {
		if v.Text() == "bad" {
			return errors.New("is bad")
		}
		return nil
	}
	for _, tt := range []struct {
		p    Property
		text string
		want string // canonical, or part of the error behind "!"
		kind error
	}{
		{prop(Bool, "true"), " TRUE ", "true", nil},
		{prop(Bool, "true"), "yes", "!not a boolean; allowed: true or false; set it to an allowed value or remove it to get the default, true", ErrSyntax},
		{bounded, "9", "9", nil},
		{bounded, "-1", "-1", nil},
		{bounded, "0", `!a.b = "0": below the minimum; allowed: from 1 to 9, or -1`, ErrRange},
		{bounded, "10", "!above the maximum", ErrRange},
		{bounded, "", "!not a whole number", ErrSyntax},
		{bounded, "1KiB", "!not a whole number", ErrSyntax},
		{prop(Int, "0"), "2147483648", "!above the maximum", ErrRange},
		{prop(Long, "0"), "9223372036854775808", "!exceeds 64 bits", ErrRange},
		{prop(Bytes, "0"), "64MiB", "67108864", nil},
		{prop(Bytes, "0"), "64 mib", "67108864", nil},
		{prop(Bytes, "0"), "5B", "5", nil},
		{prop(Bytes, "0"), "1GiB1MiB", "!not a size", ErrSyntax},
		{prop(Bytes, "0"), "1.5GiB", "!not a size", ErrSyntax},
		{prop(Bytes, "0"), "64k", `!unit "k" is ambiguous, 1000 or 1024: write KiB`, ErrSyntax},
		{prop(Bytes, "0"), "9999999TiB", "!exceeds 64 bits", ErrSyntax},
		{prop(Bytes, "0"), "-1MiB", "!not a size", ErrSyntax},
		{prop(Duration, "0"), "-2", "-2", nil},
		{prop(Duration, "0"), "7d", "604800000", nil},
		{prop(Duration, "0"), "1h30m", "5400000", nil},
		{prop(Duration, "0"), "1h 30m 5ms", "5400005", nil},
		{prop(Duration, "0"), "30m1h", "!not a duration", ErrSyntax},
		{prop(Duration, "0"), "1h1h", "!not a duration", ErrSyntax},
		{prop(Duration, "0"), "5M", "!not a duration", ErrSyntax},
		{prop(Duration, "0"), "", "!empty", ErrSyntax},
		{prop(Duration, "0"), "106751991168d", "!exceeds 64 bits", ErrSyntax},
		{ratio, "0.25", "0.25", nil},
		{ratio, "NaN", "!not a number", ErrSyntax},
		{ratio, "1.1", "!outside the bounds; allowed: a number from 0 to 1", ErrRange},
		{enum, "yonder", "yonder", nil},
		{enum, "Yonder", "!must be written yonder", ErrRange},
		{enum, "yondr", "!did you mean yonder?", ErrRange},
		{list, "x, y", "x,y", nil},
		{list, "", "", nil},
		{list, "x,,y", "!at most 2", ErrRange},
		{list, "x,", "!an item is empty", ErrSyntax},
		{list, "z", "!none of the values", ErrRange},
		{free, "p,p", "!stands twice", ErrRange},
		{free, strings.Repeat("a,", 300), "!at most 256", ErrRange},
		{checked, " good ", "good", nil},
		{checked, "bad", "!is bad", ErrRange},
		{prop(String, ""), "a\x00", "!without NUL", ErrSyntax},
		{prop(String, ""), strings.Repeat("a", MaxValueBytes+1), "!bytes more", ErrRange},
		{prop(Password, ""), "hunter2", Hidden, nil},
		{prop(Password, ""), "hunter2\x00", `!a.b = "[hidden]": the value is refused`, ErrSyntax},
	} {
		v, err := tt.p.Parse(tt.text)
		if part, refused := strings.CutPrefix(tt.want, "!"); refused {
			if !errors.Is(err, tt.kind) || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v %.20q: %v, want %q", tt.p.Type, tt.text, err, part)
			}
			continue
		}
		if err != nil || v.String() != tt.want {
			t.Errorf("%v %q = %v, %v, want %s", tt.p.Type, tt.text, v, err, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for n, want := range map[int64]time.Duration{
		0: 0, -1: -time.Millisecond, 1500: 1500 * time.Millisecond, math.MaxInt64: math.MaxInt64, math.MinInt64: math.MinInt64,
	} {
		if got := Number(Duration, n).Duration(); got != want {
			t.Errorf("%d ms is %v, want %v", n, got, want)
		}
	}
}

func TestListIsACopy(t *testing.T) {
	p := prop(List, "")
	v, err := p.Parse("a,b")
	if err != nil {
		t.Fatal(err)
	}
	v.List()[0] = "x"
	if v.String() != "a,b" {
		t.Errorf("the value became %v", v)
	}
}

func TestTableRefusesWrongDeclarations(t *testing.T) {
	change := func(f func(*Property)) Property {
		p := prop(Int, "1")
		f(&p)
		return p
	}
	for name, props := range map[string][]Property{
		"twice":      {prop(Int, "1"), prop(Int, "1")},
		"no name":    {change(func(p *Property) { p.Name = "" })},
		"upper case": {change(func(p *Property) { p.Name = "A" })},
		"underscore": {change(func(p *Property) { p.Name = "a_b" })},
		"dots":       {change(func(p *Property) { p.Name = "a..b" })},
		"last dot":   {change(func(p *Property) { p.Name = "a." })},
		"no prose":   {change(func(p *Property) { p.Doc = " " })},
		"no scope":   {change(func(p *Property) { p.Scope = 0 })},
		"no type":    {change(func(p *Property) { p.Type = 0 })},
		"default":    {change(func(p *Property) { p.Default = "x" })},
		"bounds":     {change(func(p *Property) { p.Bounds = Between(2, 1) })},
		"outside":    {change(func(p *Property) { p.Bounds = Between(2, 3) })},
		"unset":      {change(func(p *Property) { p.Unset = true })},
		"synonyms":   {change(func(p *Property) { p.Synonyms = []Synonym{{Name: "x"}} })},
		"enum":       {change(func(p *Property) { p.Type = Enum })},
	} {
		if table, err := NewTable(props...); table != nil || !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	a, b := prop(Int, "1"), prop(Int, "1")
	a.Name, b.Name = "num.partitions", "log.retention.ms"
	table := MustTable(a, b)
	for name, want := range map[string]string{
		"num.partition":                 "num.partitions",
		"num.partitoins":                "num.partitions",
		"NUM_PARTITIONS":                "num.partitions",
		"log-retention-ms":              "log.retention.ms",
		"ssl":                           "",
		"":                              "",
		strings.Repeat("a", 100_000):    "",
		"num.partitions.default.number": "",
	} {
		if got := table.Nearest(name); got != want {
			t.Errorf("%.40q is like %q, want %q", name, got, want)
		}
		_, err := table.Parse(name, "1")
		if !errors.Is(err, ErrUnknown) || len(err.Error()) > 400 {
			t.Errorf("%.40q: %.400v", name, err)
		}
	}
	if d := editDistance("ca", "abc"); d != 3 {
		t.Errorf("distance %d, want 3: a swapped pair is not edited again", d)
	}
}

// Whatever the text, what is accepted is within the bounds and its canonical
// text parses to the same value.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "64MiB", "1h30m", "a,b", "true", "-1", "1e3", "9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for typ := Bool; typ <= Password; typ++ {
			p := Property{Name: "a.b", Type: typ, Bounds: Between(-5, 1<<40), Values: nil, Scope: Topic, Doc: "d"}
			if typ == Enum {
				p.Values = []string{"x", text}
			}
			v, err := p.Parse(text)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Remedy == "" || e.Allowed == "" {
					t.Errorf("%v %q: %v", typ, text, err)
				}
				continue
			}
			if typ.numeric() && (v.Int64() < -5 || v.Int64() > 1<<40) {
				t.Errorf("%v %q = %v", typ, text, v)
			}
			if typ == Password {
				continue
			}
			if again, err := p.Parse(v.String()); err != nil || again.String() != v.String() {
				t.Errorf("%v %q = %v, again %v, %v", typ, text, v, again, err)
			}
		}
	})
}
