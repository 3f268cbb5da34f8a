package metric

// Latencies are bounds for times of 100 µs to a minute, in nanoseconds.
var Latencies = []int64{
	100e3, 250e3, 500e3, 1e6, 2.5e6, 5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6, 1e9, 2.5e9, 5e9, 10e9, 30e9, 60e9,
}

// Powers returns bounds from first on, n of them, each factor times the one
// before.
func Powers(first, factor int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = first
		first *= factor
	}
	return out
}
