package leak

import (
	"os"
	"slices"
	"strings"
)

// descriptors returns this process's open descriptors and what each is, nil
// where that cannot be asked.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	open := map[string]string{}
	for _, e := range entries {
		what, err := os.Readlink(dir + "/" + e.Name())
		if err != nil {
			continue // the one that listed the directory
		}
		// The runtime opens these once, for its poller.
		if what == "anon_inode:[eventpoll]" || what == "anon_inode:[eventfd]" {
			continue
		}
		open[e.Name()] = what
	}
	return open
}

// opened says which descriptors of now were not there before.
func opened(before, now map[string]string) []string {
	var left []string
	for fd, what := range now {
		if before[fd] != what {
			left = append(left, "file descriptor "+fd+": "+what)
		}
	}
	slices.SortFunc(left, strings.Compare)
	return left
}
