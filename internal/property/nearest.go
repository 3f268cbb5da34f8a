package property

import "strings"

// maxCompared bounds the length of a name that is compared with others: the work
// is the product of the lengths.
const maxCompared = 128

// nearest returns the candidate with the smallest edit distance from name, the
// first of equals. One that differs in more than a third of its characters is
// not a typing mistake, and "" is returned. Case, dashes and underscores in
// place of dots do not count.
func nearest(name string, candidates []string) string {
	if name == "" || len(name) > maxCompared {
		return ""
	}
	plain := strings.NewReplacer("_", ".", "-", ".").Replace(strings.ToLower(name))
	best, bestDistance := "", 0
	for _, c := range candidates {
		limit := max(len(plain), len(c)) / 3
		d := editDistance(plain, strings.ToLower(c))
		if d <= limit && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance returns how many characters must be inserted, removed, replaced
// or swapped with their neighbour to make b of a.
func editDistance(a, b string) int {
	before := make([]int, len(b)+1) // the row above the previous one
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
