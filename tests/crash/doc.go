// Package crash kills the real broker under load from a real client and judges
// what is left: records lost, duplicated, reordered, or at another offset than
// the producer was told.
package crash
