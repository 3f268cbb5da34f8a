package partition

import (
	"testing"

	"github.com/varvelog/varve/internal/ident"
)

// A replica that is closed while a run of a copy is on its way gives the copy's
// memory and files back, whether the copy was given up before or not: nobody tells
// it of the run's end any more.
func TestCloseWhileACopyIsWritten(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, abandoned := range []bool{false, true} {
		p, asked := adopter(t, state)
		var unused []string
		p.c.Unused = func(dir string) { unused = append(unused, dir) }
		answer(t, p, h.p, asked)
		p.adoption.log.Roll() // so that it is worth writing
		run := p.adoption.work()
		if run == nil {
			t.Fatal("nothing is written")
		}
		if done, err := p.Adopted(); done || err != nil {
			t.Fatalf("adopted while a run is on its way: %v", err)
		}
		if err := run.Do(); err != nil {
			t.Fatal(err)
		}
		if abandoned {
			p.Abandon()
			if len(unused) != 0 {
				t.Fatal("the directory may go while a run is on its way")
			}
		}
		p.Close()
		if s := p.c.Cache.Stats(); s.TailBytes != 0 || s.OpenFiles != 0 {
			t.Errorf("abandoned %v: %d bytes and %d files are held", abandoned, s.TailBytes, s.OpenFiles)
		}
		if len(unused) != 1 || unused[0] != "copy.1" {
			t.Errorf("abandoned %v: unused %v", abandoned, unused)
		}
	}
}

// An abandoned copy is given back when its run has ended, and the replica goes on.
func TestAbandonWhileACopyIsWritten(t *testing.T) {
	h := newHarness(t)
	h.two()
	state, err := h.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, asked := adopter(t, state)
	var unused []string
	p.c.Unused = func(dir string) { unused = append(unused, dir) }
	answer(t, p, h.p, asked)
	p.adoption.log.Roll()
	run := p.adoption.work()
	p.Abandon()
	if err := p.Worked(run, run.Do()); err != nil {
		t.Fatal(err)
	}
	if s := p.c.Cache.Stats(); s.TailBytes != 0 || s.OpenFiles != 0 || len(unused) != 1 || len(p.dying) != 0 {
		t.Errorf("%d bytes and %d files are held, unused %v", s.TailBytes, s.OpenFiles, unused)
	}
	if err := p.Adopt(7, state); err != nil || p.adoption.dir != "copy.2" {
		t.Fatalf("adopts anew: %v", err)
	}
	answer(t, p, h.p, asked)
	if done, err := p.Adopted(); !done || err != nil {
		t.Fatalf("not adopted: %v", err)
	}
	if _, end := p.Bounds(); end != ident.Offset(0) {
		t.Fatalf("it changed before it took the state over: %d", end)
	}
	p.Close()
}
