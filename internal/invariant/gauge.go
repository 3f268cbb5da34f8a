package invariant

// A Gauge counts what is taken and must be given back, such as buffers of a
// pool. It counts only in builds with the tag "invariants"; in others its methods
// are empty. Tests end with all gauges at zero (package leak). A Gauge is made
// once, for a package-level variable.
type Gauge struct{ gauge }
