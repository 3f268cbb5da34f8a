package vfs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const seeds = 400

var harsh = CrashOptions{Keep: 0.5, Tear: true, Reorder: true}

// outcomes runs a crash for many seeds and counts what describe says of each.
func outcomes(t *testing.T, how CrashOptions, build func(m *Mem), describe func(m *Mem) string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for seed := range uint64(seeds) {
		m := NewMem(MemOptions{})
		build(m)
		got[describe(m.Crash(seeded(seed), how))]++
	}
	return got
}

// wantOutcomes demands exactly the outcomes listed, each at least once.
func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("outcome %q never happens: %v", w, got)
		}
	}
	for g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("outcome %q must not happen: %v", g, got)
		}
	}
}

// letters shortens a file to the runs of its bytes.
func letters(m *Mem) string {
	data, err := ReadFile(m, "a", 1<<20)
	if err != nil {
		return "none"
	}
	data = bytes.ReplaceAll(data, []byte{0}, []byte{'0'})
	return string(slices.Compact(data))
}

func names(m *Mem, dirs ...string) string {
	var all []string
	for _, dir := range dirs {
		entries, err := m.List(dir)
		if err != nil {
			all = append(all, dir+"!")
			continue
		}
		for _, e := range entries {
			if !e.Dir {
				all = append(all, strings.TrimPrefix(dir+"/"+e.Name, "./"))
			}
		}
	}
	return strings.Join(all, " ")
}

// twoPages overwrites a durable page "a" and appends a page, unsynced.
func twoPages(t *testing.T) func(m *Mem) {
	return func(m *Mem) {
		f := durableFile(t, m, "a", fill('a', pageSize))
		writeAt(t, f, fill('b', pageSize), 0)
		writeAt(t, f, fill('c', pageSize), pageSize)
	}
}

func TestCrashPieces(t *testing.T) {
	tests := []struct {
		name string
		how  CrashOptions
		want []string
	}{
		{"lose", CrashOptions{}, []string{"a"}},
		{"keep", CrashOptions{Keep: 1, Tear: true, Reorder: true}, []string{"bc"}},
		{"prefix", CrashOptions{Keep: 0.5}, []string{"a", "b", "bc"}},
		{"reorder", CrashOptions{Keep: 0.5, Reorder: true}, []string{"a", "b", "bc", "ac"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcomes(t, outcomes(t, tt.how, twoPages(t), letters), tt.want...)
		})
	}
}

// Torn pieces mix old and new at sector borders, never within a sector.
func TestCrashTear(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		torn, size := 0, map[int]bool{}
		got := outcomes(t, CrashOptions{Keep: 0.5, Tear: true, Reorder: reorder}, twoPages(t), func(m *Mem) string {
			data := readBack(t, m, "a")
			size[len(data)] = true
			for s := 0; s < len(data); s += sectorSize {
				sector := slices.Compact(bytes.Clone(data[s:min(s+sectorSize, len(data))]))
				if len(sector) != 1 {
					t.Fatalf("sector %d holds a mixture %q", s/sectorSize, sector)
				}
			}
			if bytes.Contains(data, []byte("ab")) || bytes.Contains(data, []byte("ba")) {
				torn++
			}
			return ""
		})
		if torn < seeds/20 || got[""] != seeds {
			t.Errorf("reorder %v: only %d of %d crashes tore the first piece", reorder, torn, seeds)
		}
		if len(size) < 5 {
			t.Errorf("reorder %v: only %d different sizes of a torn extension", reorder, len(size))
		}
	}
}

// Small appends to one sector survive in order, whatever is reordered.
func TestCrashSectorIsAtomic(t *testing.T) {
	build := func(m *Mem) {
		f := durableFile(t, m, "a", []byte("a"))
		for i, b := range []byte("bcd") {
			writeAt(t, f, []byte{b}, int64(i+1))
		}
	}
	wantOutcomes(t, outcomes(t, harsh, build, letters), "a", "ab", "abc", "abcd")
}

func TestCrashSize(t *testing.T) {
	t.Run("truncate", func(t *testing.T) {
		build := func(m *Mem) {
			f := durableFile(t, m, "a", fill('a', 3*pageSize))
			must(t, f.Truncate(pageSize))
		}
		got := outcomes(t, harsh, build, func(m *Mem) string { return fmt.Sprint(len(readBack(t, m, "a")) / pageSize) })
		wantOutcomes(t, got, "3", "1")
	})
	t.Run("truncate then write", func(t *testing.T) {
		build := func(m *Mem) {
			f := durableFile(t, m, "a", fill('a', 2*pageSize))
			must(t, f.Truncate(100))
			writeAt(t, f, []byte("b"), 200)
		}
		wantOutcomes(t, outcomes(t, harsh, build, letters), "a", "a0b")
		// "a" is both the old file and the truncated one.
	})
	t.Run("preallocate", func(t *testing.T) {
		build := func(m *Mem) {
			f := durableFile(t, m, "a", []byte("a"))
			must(t, f.Preallocate(3*pageSize))
		}
		wantOutcomes(t, outcomes(t, harsh, build, letters), "a", "a0")
	})
	t.Run("hole", func(t *testing.T) {
		build := func(m *Mem) {
			f := durableFile(t, m, "a", []byte("a"))
			writeAt(t, f, fill('b', pageSize), pageSize)
			writeAt(t, f, fill('c', pageSize), 2*pageSize)
		}
		how := CrashOptions{Keep: 0.5, Reorder: true}
		wantOutcomes(t, outcomes(t, how, build, letters), "a", "a0b", "a0bc", "a0c")
	})
	t.Run("preallocated space", func(t *testing.T) {
		m := NewMem(MemOptions{Capacity: 10 * pageSize})
		f := durableFile(t, m, "a", []byte("a"))
		must(t, f.Preallocate(5*pageSize))
		must(t, f.Sync())
		m = m.Crash(seeded(1), CrashOptions{})
		if free, _ := m.Free(); free != 5*pageSize {
			t.Errorf("free %d after a crash with 5 of 10 pages preallocated", free)
		}
	})
}

func TestCrashNames(t *testing.T) {
	file := func(m *Mem, name string) {
		f := create(t, m, name)
		writeAt(t, f, []byte(name), 0)
		must(t, f.Sync())
		must(t, f.Close())
	}
	dirs := func(m *Mem) { must(t, m.MkdirAll("d")); must(t, m.MkdirAll("e")) }
	tests := []struct {
		name  string
		build func(m *Mem)
		want  []string
	}{
		{"created, content synced", func(m *Mem) { file(m, "a") }, []string{"", "a"}},
		{"created in order", func(m *Mem) { file(m, "b"); file(m, "a") }, []string{"", "b", "a b"}},
		{"removed", func(m *Mem) { durableFile(t, m, "a", nil); must(t, m.Remove("a")) }, []string{"a", ""}},
		{"renamed", func(m *Mem) { durableFile(t, m, "a", nil); must(t, m.Rename("a", "b")) }, []string{"a", "b"}},
		{"renamed and synced", func(m *Mem) {
			durableFile(t, m, "a", nil)
			must(t, m.Rename("a", "b"))
			must(t, m.SyncDir("."))
		}, []string{"b"}},
		{"directories apart", func(m *Mem) { dirs(m); file(m, "d/a"); file(m, "e/a") },
			[]string{"", "d/a", "e/a", "d/a e/a"}},
		{"one directory synced", func(m *Mem) { dirs(m); file(m, "d/a"); file(m, "e/a"); must(t, m.SyncDir("e")) },
			[]string{"e/a", "d/a e/a"}},
		{"renamed across", func(m *Mem) {
			dirs(m)
			file(m, "d/a")
			must(t, m.SyncDir("d"))
			must(t, m.Rename("d/a", "e/a"))
			file(m, "d/b")
		}, []string{"d/a", "e/a", "d/b e/a"}},
		{"renamed across, source synced", func(m *Mem) {
			dirs(m)
			file(m, "e/b")
			file(m, "d/a")
			must(t, m.Rename("d/a", "e/a"))
			file(m, "e/c")
			must(t, m.SyncDir("d"))
		}, []string{"e/a e/b", "e/a e/b e/c"}},
		{"directory removed after its file moved", func(m *Mem) {
			dirs(m)
			file(m, "d/a")
			must(t, m.SyncDir("d"))
			must(t, m.Rename("d/a", "e/a"))
			must(t, m.Remove("d"))
		}, []string{"d/a", "e/a", "d! e/a"}},
		{"directory removed and synced", func(m *Mem) {
			dirs(m)
			file(m, "d/a")
			must(t, m.SyncDir("d"))
			must(t, m.Rename("d/a", "e/a"))
			must(t, m.Remove("d"))
			must(t, m.SyncDir("."))
		}, []string{"d! e/a"}},
		{"MkdirAll is durable", func(m *Mem) { must(t, m.MkdirAll("d/x")); must(t, m.MkdirAll("e")); durableFile(t, m, "f", nil) },
			[]string{"f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := outcomes(t, harsh, tt.build, func(m *Mem) string {
				all := []string{"."}
				if _, err := m.lookup("e"); err == nil {
					all = append(all, "d", "e")
				}
				return names(m, all...)
			})
			wantOutcomes(t, got, tt.want...)
		})
	}
}
