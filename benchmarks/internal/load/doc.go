// Package load drives a broker process with pre-encoded requests over raw
// connections, so that the client's cost is small and the same for every broker.
package load
