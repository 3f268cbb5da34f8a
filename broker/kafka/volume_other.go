//go:build !linux && !darwin

package kafka

// volume returns -1 and -1: the size of the volume is not known.
func volume(string) (total, usable int64) { return -1, -1 }
